/**
 * One run of a container: from the launcher plan to its exit status. Knows its process id on the node, can be told to stop, and runs
 * further commands beside it.
 */
import type { ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Image } from "../images.ts";
import { launch, type LaunchPlan } from "../launcher/launcher.ts";
import { joinCgroup } from "../node-plan.ts";
import { createCgroup, killCgroup, limitCgroup, oomKills, removeCgroup } from "./cgroups.ts";
import { containerPlan, userPlan, userSteps } from "./container-plan.ts";
import { expandReferences, hostnameOf } from "./environment.ts";
import type { NodeContext } from "./node-context.ts";
import type { ContainerSpec, PodObject } from "./pod-types.ts";
import { limitsOf, podCgroup } from "./resources.ts";
import type { Sandbox } from "./sandbox.ts";

export interface ContainerStart {
  readonly context: NodeContext;
  readonly pod: PodObject;
  readonly sandbox: Sandbox;
  readonly container: ContainerSpec;
  readonly image: Image;
  readonly env: Readonly<Record<string, string>>;
  readonly volumes: ReadonlyMap<string, string>;
  readonly attempt: number;
}

export interface ContainerExit {
  readonly code: number;
  readonly reason: "Completed" | "Error" | "OOMKilled";
}

export interface RunningContainer {
  readonly id: string;
  /** Resolves when its process exists, so that commands can be run beside it; also when it will never exist. */
  readonly started: Promise<void>;
  readonly exited: Promise<ContainerExit>;
  /** SIGTERM, then after `graceMs` the whole group is killed. Resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
  exec(command: readonly string[], stdio: readonly ("ignore" | "pipe")[], extra?: LaunchPlan): ChildProcess;
  /** Exit status and up to 4 KiB of output; 124 when the time is over. */
  execForResult(
    command: readonly string[],
    timeoutMs: number,
  ): Promise<{ readonly code: number; readonly output: string }>;
}

export function logFile(context: NodeContext, pod: PodObject, container: string, attempt: number): string {
  const { namespace, name, uid } = pod.metadata;
  return join(context.logRoot, `${namespace}_${name}_${uid}`, container, `${attempt}.log`);
}

export function startContainer(start: ContainerStart): RunningContainer {
  const { context, pod, container, sandbox, attempt } = start;
  const directory = join(context.podRoot, pod.metadata.uid, "containers", container.name);
  const group = `${podCgroup(pod.spec, pod.metadata.uid)}/${container.name}`;
  const pidFile = join(directory, `${attempt}.pid`);
  mkdirSync(join(directory, "root"), { recursive: true });
  writeEtc(start, directory);
  createCgroup(context.host.cgroups, group);
  limitCgroup(context.host.cgroups, group, limitsOf(container));
  const plan = containerPlan({
    spec: pod.spec,
    container,
    image: start.image,
    host: context.host,
    cgroup: group,
    netns: sandbox.netns,
    sandboxPid: sandbox.netns === "" ? undefined : sandbox.pausePid,
    pidFile,
    rootDirectory: join(directory, "root"),
    etcDirectory: directory,
    volumes: start.volumes,
  });
  const oomBefore = oomKills(context.host.cgroups, group);
  const child = spawnWithLog(start, plan);
  const exited = exitOf(child).then(async (code): Promise<ContainerExit> => {
    await killCgroup(context.host.cgroups, group, context.clock);
    const oom = oomKills(context.host.cgroups, group) > oomBefore;
    removeCgroup(context.host.cgroups, group);
    rmSync(pidFile, { force: true });
    return { code, reason: oom ? "OOMKilled" : code === 0 ? "Completed" : "Error" };
  });
  const enter = (): LaunchPlan => [
    ...joinCgroup(context.host.cgroups, group),
    ["enter", String(pidOf(pidFile)), "uts,ipc,net,pid,mnt"],
    ["fork"],
    ...userSteps(userPlan(pod.spec, container, start.image)),
    ["cwd", container.workingDir ?? "/"],
  ];
  const exec: RunningContainer["exec"] = (command, stdio, extra = []) =>
    launch(
      context.launcher,
      { plan: [...extra, ...enter()], end: ["--", ...command] },
      { env: start.env, stdio },
    );
  return {
    id: `${sandbox.id.slice(0, 40)}-${container.name}-${attempt}`,
    started: Promise.race([untilStarted(context, pidFile), exited.then(() => undefined)]),
    exited,
    stop: async (graceMs) => {
      await untilStarted(context, pidFile);
      signalProcess(pidFile, "SIGTERM");
      await Promise.race([exited, context.clock.sleep(graceMs)]);
      await killCgroup(context.host.cgroups, group, context.clock);
      await exited;
    },
    exec,
    execForResult: (command, timeoutMs) =>
      collect(() => exec(command, ["ignore", "pipe", "pipe"]), timeoutMs),
  };
}

function spawnWithLog(start: ContainerStart, plan: LaunchPlan): ChildProcess {
  const { context, pod, container, image, env } = start;
  const path = logFile(context, pod, container.name, start.attempt);
  mkdirSync(join(path, ".."), { recursive: true });
  const log = openSync(path, "a", 0o640);
  try {
    const expand = (words: readonly string[] = []): readonly string[] =>
      words.map((word) => expandReferences(word, env));
    const command = [
      ...(container.command === undefined ? image.command : expand(container.command)),
      ...expand(container.args),
    ];
    return launch(context.launcher, { plan, end: ["--", ...command] }, { env, stdio: ["ignore", log, log] });
  } finally {
    closeSync(log);
  }
}

function writeEtc({ context, pod, sandbox }: ContainerStart, directory: string): void {
  const name = sandbox.netns === "" ? context.nodeName : hostnameOf(pod);
  const search = [`${pod.metadata.namespace}.svc.cluster.local`, "svc.cluster.local", "cluster.local"];
  const clusterFirst =
    pod.spec.dnsPolicy !== "Default" &&
    (sandbox.netns !== "" || pod.spec.dnsPolicy === "ClusterFirstWithHostNet");
  const servers = context.dnsServers.map((server) => `nameserver ${server}\n`).join("");
  const options = `search ${search.join(" ")}\noptions ndots:5\n`;
  writeFileSync(
    join(directory, "resolv.conf"),
    clusterFirst ? `${servers}${options}` : readFileSync("/etc/resolv.conf"),
  );
  const own = sandbox.ips.map((address) => `${address}\t${name}\n`).join("");
  writeFileSync(
    join(directory, "hosts"),
    `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own}`,
  );
  writeFileSync(join(directory, "hostname"), `${name}\n`);
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.on("error", () => resolve(128));
    child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 128)));
  });
}

function pidOf(pidFile: string): number {
  const pid = Number(readFileSync(pidFile, "utf8"));
  if (!Number.isInteger(pid) || pid <= 1)
    throw new AmbitError("CONTAINER_NOT_RUNNING", "the container has no process");
  return pid;
}

/** The launcher writes the process id right after its fork: a container that is stopped at once may not have it yet. */
async function untilStarted(context: NodeContext, pidFile: string): Promise<void> {
  for (let waited = 0; waited < START_WAIT_MS; waited += 20) {
    if (hasText(pidFile)) return;
    await context.clock.sleep(20);
  }
}

/** False also when the file goes away while it is read: its process has ended. */
function hasText(path: string): boolean {
  try {
    return readFileSync(path, "utf8") !== "";
  } catch {
    return false;
  }
}

function signalProcess(pidFile: string, signal: NodeJS.Signals): void {
  try {
    process.kill(pidOf(pidFile), signal);
  } catch {
    // Not started or already gone: the kill of its group that follows settles both.
  }
}

const OUTPUT_LIMIT = 4096;
const START_WAIT_MS = 500;

function collect(
  start: () => ChildProcess,
  timeoutMs: number,
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    let output = "";
    try {
      const child = start();
      const add = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(0, OUTPUT_LIMIT));
      child.stdout?.on("data", add);
      child.stderr?.on("data", add);
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        resolve({ code: 124, output: `no result within ${timeoutMs} ms` });
      }, timeoutMs);
      void exitOf(child).then((code) => {
        clearTimeout(timer);
        resolve({ code, output });
      });
    } catch (error) {
      resolve({ code: 126, output: (error as Error).message });
    }
  });
}
