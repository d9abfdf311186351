/** The packages that Ambit needs from Debian or Ubuntu: found by a file of each, installed by apt when root. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fail, onPath, reason, runQuietly, say } from "./talk.mjs";

// A file that proves presence, the package, why it is needed, and what needs it.
const OS_PACKAGES = [
  {
    file: [
      "/usr/lib/x86_64-linux-gnu/libatomic.so.1",
      "/usr/lib/aarch64-linux-gnu/libatomic.so.1",
      "/usr/lib64/libatomic.so.1",
      "/usr/lib/libatomic.so.1",
    ],
    name: "libatomic1",
    why: "a library that Node 26 loads",
    needs: "node",
  },
  {
    file: ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"],
    name: "iproute2",
    why: "network namespaces and links",
    needs: "cluster",
  },
  {
    file: ["/usr/lib/cni/bridge"],
    name: "containernetworking-plugins",
    why: "the reference CNI plugins",
    needs: "cluster",
  },
  {
    file: ["/usr/sbin/nft", "/sbin/nft"],
    name: "nftables",
    why: "service addresses of un-enrolled pods",
    needs: "cluster",
  },
  { file: ["/usr/bin/curl"], name: "curl", why: "tests ask services from inside pods", needs: "tests" },
];
const KUBECTL = "kubernetes-client";
const APT_TIMEOUT_MS = 900_000;
// A fresh machine often updates itself in the background.
const APT_OPTIONS = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=2"];

/** Installs what is missing of what a task needs. Ends the process when that cannot be done. */
export async function installOsPackages(task) {
  const missing = missingFor(task);
  const wantsKubectl = task.cluster && onPath("kubectl") === undefined;
  if (missing.length === 0 && !wantsKubectl) return;
  const names = missing.map((p) => p.name);
  if (onPath("apt-get") === undefined || process.getuid() !== 0) return missingForGood(names);
  for (const p of missing) say(`needs the OS package ${p.name}: ${p.why}`);
  if (missing.length > 0) await refreshLists();
  const kubectl = wantsKubectl && isOnOffer(KUBECTL) ? [KUBECTL] : [];
  if (kubectl.length > 0) say(`would like the OS package ${KUBECTL}: kubectl, which is not installed`);
  if (names.length + kubectl.length > 0) await install(names, kubectl);
}

function missingFor({ cluster, tests }) {
  const needed = { node: true, cluster, tests };
  return OS_PACKAGES.filter((p) => needed[p.needs] && !p.file.some((f) => existsSync(f)));
}

function missingForGood(names) {
  if (names.length === 0) return;
  if (onPath("apt-get") === undefined)
    fail(
      `missing: ${names.join(", ")} (names of Debian packages), and there is no apt-get here`,
      "install them with your system's package manager, then run the same command",
    );
  fail(
    `missing: ${names.join(", ")}`,
    `run as root: apt-get install ${names.join(" ")}   and then the same command again`,
  );
}

async function refreshLists() {
  const { status, output } = await runQuietly(
    "reading the package lists",
    "apt-get",
    [...APT_OPTIONS, "update"],
    {
      timeoutMs: APT_TIMEOUT_MS,
      env: aptEnvironment(),
    },
  );
  if (status !== 0) say(`package lists could not be refreshed (${reason(output)}); trying with the old ones`);
}

/** kubectl is wanted but not needed: without it the tour makes the same calls itself and shows the commands. */
async function install(names, kubectl) {
  const all = [...names, ...kubectl];
  const size = downloadSize(all);
  const { status, output } = await runQuietly(
    `installing ${all.join(", ")}${size}`,
    "apt-get",
    [...APT_OPTIONS, "install", "-y", "--no-install-recommends", ...all],
    { timeoutMs: APT_TIMEOUT_MS, env: aptEnvironment() },
  );
  if (status === 0) return;
  if (kubectl.length > 0) {
    say(`not installed with ${KUBECTL} (${reason(output)}); going on without it`);
    if (names.length > 0) await install(names, []);
    return;
  }
  fail(
    `apt-get could not install ${names.join(", ")}: ${reason(output)}`,
    `check the network and the package sources (on Ubuntu "universe" is needed), then: apt-get install ${names.join(" ")}`,
  );
}

function isOnOffer(name) {
  const policy =
    spawnSync("apt-cache", ["policy", name], { encoding: "utf8", env: aptEnvironment() }).stdout ?? "";
  return /Candidate: [0-9]/.test(policy);
}

function downloadSize(names) {
  const args = ["install", "--no-install-recommends", "--assume-no", ...names];
  const plan = spawnSync("apt-get", args, { encoding: "utf8", env: aptEnvironment() });
  const size = /Need to get ([0-9.,]+ [kMG]?B)/.exec(plan.stdout ?? "");
  return size === null ? "" : ` (${size[1]} to download)`;
}

/** Its words are read here, so they must be English. */
function aptEnvironment() {
  return { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8", LANGUAGE: "" };
}
