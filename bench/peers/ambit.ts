/** Ambit: the pod `client` in namespace a under one ztunnel, the pod `server` in namespace b under another. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createFileCa } from "#core/identity/file-ca.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT, OUTBOUND_PORT } from "#core/model/well-known.ts";
import { ECHO_VIP, IP_B, SINK_VIP } from "../network/bench-network.ts";
import { residentBytes } from "../system/cpu-usage.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { writePair } from "./certificates.ts";
import { nodeCipherSpeed } from "./cipher-speed.ts";
import { BENCH_NAMESPACE, CLIENT, meshDocument, NODE_A, NODE_B, SERVER } from "./mesh-document.ts";
import type { Peer, PeerContext, RunningPeer, TlsProbe } from "./peer.ts";
import { startZtunnel, type ZtunnelOptions } from "./ztunnel-process.ts";

/** Two rows: the raw socket handles, which is what runs, and the public ones, which is the fallback. */
export function ambitPeers(version: string): readonly Peer[] {
  const cipherGibPerSecond = nodeCipherSpeed();
  return (["raw", "public"] as const).map((handles) => ({
    name: handles === "raw" ? "ambit" : "ambit-public",
    facts: {
      version: `${version}, Node ${process.versions.node}`,
      tlsLibrary: `OpenSSL ${process.versions["openssl"] ?? "unknown"}`,
      origin: "this tree, bundled",
      cipherGibPerSecond,
      cipherMethod: "EVP calls into this Node",
      setting: `${handles} handles, 100 workloads, 20 policies, access log and metrics on`,
    },
    start: (context) => startPair(context, handles),
  }));
}

async function startPair(context: PeerContext, handles: "raw" | "public"): Promise<RunningPeer> {
  const { network, directory, profilePath } = context;
  const statePath = join(directory, "mesh.json");
  writeFileSync(statePath, JSON.stringify(meshDocument()));
  const common = { directory, statePath, caDirectory: join(directory, "mesh-ca"), handles, profilePath };
  const a = await startZtunnel({
    ...common,
    name: `${handles}-a`,
    node: NODE_A,
    pod: { name: CLIENT, namespace: BENCH_NAMESPACE, netns: network.netns.a },
  });
  const b = await startZtunnel({
    ...common,
    name: `${handles}-b`,
    node: NODE_B,
    pod: { name: SERVER, namespace: BENCH_NAMESPACE, netns: network.netns.b },
  }).catch(async (error: unknown) => {
    await a.stop();
    throw error;
  });
  return {
    a: [a.pid],
    b: [b.pid],
    echo: { ip: ECHO_VIP, port: OUTBOUND_PORT },
    sink: { ip: SINK_VIP, port: OUTBOUND_PORT },
    tls: tlsProbe(common.caDirectory, directory),
    connectionCounts: async () => ({
      a: await a.openedConnections("source"),
      b: await b.openedConnections("destination"),
    }),
    stop: async () => {
      await Promise.all([a.stop(), b.stop()]);
    },
  };
}

/** A valid client of the mesh that only asks for the cipher. */
function tlsProbe(caDirectory: string, directory: string): TlsProbe {
  const both = readFileSync(join(caDirectory, "root.pem"), "utf8");
  const end = "-----END CERTIFICATE-----\n";
  const cut = both.indexOf(end) + end.length;
  const trustDomain = "cluster.local";
  const ca = createFileCa({ trustDomain, rootPem: both.slice(0, cut), rootKeyPem: both.slice(cut) });
  const { chainPem, keyPem } = ca.issueNow(
    spiffeId({ trustDomain, namespace: BENCH_NAMESPACE, serviceAccount: "probe" }),
  );
  const { certificatePath, keyPath } = writePair(directory, "mesh-probe", chainPem, keyPem);
  return { ip: IP_B, port: HBONE_PORT, certificatePath, keyPath, alpn: "h2" };
}

const EMPTY_SETTLE_MS = 3_000;

/** Resident bytes of one ztunnel that serves nothing, some seconds after its start. */
export async function emptyZtunnelBytes(directory: string): Promise<number> {
  const own = join(directory, "empty");
  mkdirSync(own, { recursive: true });
  const statePath = join(own, "mesh.json");
  if (!existsSync(statePath)) writeFileSync(statePath, "{}");
  const options: ZtunnelOptions = {
    name: "empty",
    node: "empty",
    directory: own,
    statePath,
    caDirectory: join(own, "ca"),
    handles: "raw",
    profilePath: undefined,
  };
  const ztunnel = await startZtunnel(options);
  try {
    await sleep(EMPTY_SETTLE_MS);
    return residentBytes([ztunnel.pid]);
  } finally {
    await ztunnel.stop();
  }
}
