/**
 * The reference peers: programs of Debian 13 in a private folder, run by that folder's own loader and libraries, so that
 * any machine measures against the same versions. Downloaded and verified by apt with configuration, lists and cache of
 * its own: nothing of this machine's apt changes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#core/runtime/errors.ts";

const RELEASE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PACKAGES = [
  ..."haproxy nginx libnginx-mod-stream stunnel4 openssl".split(" "),
  ..."libc6 libcap2 libcrypt1 libgcc-s1 libjemalloc2 liblua5.4-0 libopentracing-c-wrapper0t64".split(" "),
  ..."libopentracing1 libpcre2-8-0 libssl3t64 libstdc++6 libsystemd0 libwrap0 libzstd1 zlib1g".split(" "),
];
const ARCHITECTURES: Readonly<
  Record<string, { readonly debian: string; readonly tuple: string; readonly loader: string }>
> = {
  x64: { debian: "amd64", tuple: "x86_64-linux-gnu", loader: "usr/lib64/ld-linux-x86-64.so.2" },
  arm64: { debian: "arm64", tuple: "aarch64-linux-gnu", loader: "usr/lib/ld-linux-aarch64.so.1" },
};

/** How to run a program of one of the two places. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface PeerRoot {
  /** Shown in every row. */
  readonly origin: string;
  /** Undefined when the program is not there. */
  program(path: string): Program | undefined;
  /** A file of that system. */
  file(path: string): string;
}

export interface PreparedRoot {
  readonly root: PeerRoot;
  /** Why the machine's own programs must do; undefined when they need not. */
  readonly problem: string | undefined;
}

/** `folder` is kept between runs. Never throws: without Debian 13 the machine's own programs are used, and it is said. */
export function preparePeerRoot(folder: string): PreparedRoot {
  try {
    const architecture = ARCHITECTURES[process.arch];
    if (architecture === undefined) throw new Error(`no packages for ${process.arch}`);
    const root = join(folder, "root");
    const stamp = join(folder, "unpacked");
    const wanted = PACKAGES.join(" ");
    if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
      download(folder, architecture.debian);
      unpack(folder, root);
      writeFileSync(stamp, wanted);
    }
    return { root: privateRoot(root, architecture), problem: undefined };
  } catch (error) {
    return { root: machineRoot(), problem: describeError(error) };
  }
}

function download(folder: string, architecture: string): void {
  for (const part of ["etc/preferences.d", "state/lists/partial", "cache/archives/partial", "debs"]) {
    mkdirSync(join(folder, part), { recursive: true });
  }
  const configuration = join(folder, "etc/apt.conf");
  const lines = [
    `Dir::Etc "${folder}/etc";`,
    `Dir::Etc::sourcelist "${folder}/etc/sources.list";`,
    `Dir::Etc::sourceparts "/dev/null";`,
    `Dir::State "${folder}/state";`,
    `Dir::State::status "${folder}/state/status";`,
    `Dir::Cache "${folder}/cache";`,
    `APT::Architecture "${architecture}";`,
    `APT::Sandbox::User "root";`,
    `Acquire::Languages "none";`,
  ];
  writeFileSync(configuration, `${lines.join("\n")}\n`);
  writeFileSync(join(folder, "state/status"), "");
  const source = `deb [signed-by=${KEYRING}] http://deb.debian.org/debian ${RELEASE} main\n`;
  writeFileSync(join(folder, "etc/sources.list"), source);
  const apt = (...args: readonly string[]): void => {
    execFileSync("apt-get", ["-q", ...args], {
      cwd: join(folder, "debs"),
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", APT_CONFIG: configuration },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 300_000,
    });
  };
  apt("update", "--error-on=any");
  apt("download", ...PACKAGES);
}

function unpack(folder: string, root: string): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  for (const file of readdirSync(join(folder, "debs")).filter((name) => name.endsWith(".deb"))) {
    execFileSync("dpkg", ["-x", join(folder, "debs", file), root], { stdio: "pipe", timeout: 60_000 });
  }
  rmSync(join(folder, "debs"), { recursive: true, force: true });
  rmSync(join(folder, "state"), { recursive: true, force: true });
  rmSync(join(folder, "cache"), { recursive: true, force: true });
}

function privateRoot(
  root: string,
  { tuple, loader }: { readonly tuple: string; readonly loader: string },
): PeerRoot {
  const libraries = join(root, "usr/lib", tuple);
  return {
    origin: `Debian 13 (${RELEASE}), private root`,
    program: (path) => {
      const file = join(root, path);
      if (!existsSync(file)) return undefined;
      return {
        command: join(root, loader),
        args: ["--library-path", libraries, file],
        env: {
          OPENSSL_CONF: join(root, "etc/ssl/openssl.cnf"),
          OPENSSL_MODULES: join(libraries, "ossl-modules"),
        },
      };
    },
    file: (path) => join(root, path),
  };
}

function machineRoot(): PeerRoot {
  return {
    origin: "this machine's own package",
    program: (path) => (existsSync(`/${path}`) ? { command: `/${path}`, args: [], env: {} } : undefined),
    file: (path) => `/${path}`,
  };
}
