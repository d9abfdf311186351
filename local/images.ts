/**
 * Pure. What an image name means on a local cluster: a command, environment and user. Nothing is ever downloaded.
 * Inside a container /opt/ambit/node holds Node, /opt/ambit/lib the bundles, /opt/ambit/bin the launcher.
 */
export interface Image {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly gid: number;
}

export type ImageLookup =
  | { readonly kind: "found"; readonly image: Image }
  | { readonly kind: "unknown"; readonly message: string };

export const NODE_BINARY = "/opt/ambit/node/bin/node";
/** No inspector by signal. No source maps: reading them costs every daemon some 40 MB. */
const NODE_FLAGS = ["--disable-sigusr1"];
/**
 * A small young generation (MiB): half of the memory per idle connection, tens of MiB less after a burst of requests, for little time. A slower
 * growth of the old one (`--heap-growing-percent=25`) saved a waypoint 29 of 131 MiB after a burst, and cost 13 % more time per request.
 */
export const PROXY_NODE_FLAGS: readonly string[] = [...NODE_FLAGS, "--max-semi-space-size=2"];
/** A crash must not write keys to disk. */
const WITHOUT_CORE_DUMPS = ["/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "ambit"];
const PATH = "/opt/ambit/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ROOT = { uid: 0, gid: 0 };
const APPLICATION = { uid: 1000, gid: 1000 };

function bundle(name: string, user: { readonly uid: number; readonly gid: number }): Image {
  const flags = name === "ztunnel" || name === "waypoint" ? PROXY_NODE_FLAGS : NODE_FLAGS;
  return {
    command: [...WITHOUT_CORE_DUMPS, NODE_BINARY, ...flags, `/opt/ambit/lib/${name}.mjs`],
    env: { PATH, NODE_ENV: "production" },
    ...user,
  };
}

const IMAGES: Readonly<Record<string, Image>> = {
  "ambit/ztunnel": bundle("ztunnel", ROOT),
  "ambit/istio-cni": bundle("agent", ROOT),
  "ambit/controller": bundle("controller", APPLICATION),
  "ambit/waypoint": bundle("waypoint", APPLICATION),
  "ambit/sample-frontend": bundle("sample-frontend", APPLICATION),
  "ambit/sample-catalog": bundle("sample-catalog", APPLICATION),
  "ambit/sample-client": bundle("sample-client", APPLICATION),
  "ambit/sample-echo": bundle("sample-echo", APPLICATION),
  "ambit/sample-load": bundle("sample-load", APPLICATION),
  "ambit/sample-db": bundle("sample-db", APPLICATION),
  "ambit/sample-db-client": bundle("sample-db-client", APPLICATION),
  "ambit/sample-talk": bundle("sample-talk", APPLICATION),
  /** The machine's own /usr with Node: a shell for everything else. */
  "ambit/host": { command: ["/bin/sh"], env: { PATH }, ...ROOT },
};

export const IMAGE_NAMES: readonly string[] = Object.keys(IMAGES);

/** `[docker.io/]ambit/ztunnel[:tag][@digest]`; registry, tag and digest do not matter here. */
export function lookUpImage(reference: string): ImageLookup {
  const name = reference
    .replace(/@.*$/, "")
    .replace(/:[^/:]*$/, "")
    .replace(/^[^/]*[.:][^/]*\//, "");
  const image = Object.hasOwn(IMAGES, name) ? IMAGES[name] : undefined;
  if (image !== undefined) return { kind: "found", image };
  return {
    kind: "unknown",
    message:
      `this local cluster downloads nothing and runs only ${IMAGE_NAMES.join(", ")}; ` +
      `"${reference.slice(0, 200)}" needs a real Kubernetes cluster (see docs/limits.md)`,
  };
}
