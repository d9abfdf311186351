/**
 * The network and first process of a pod: a namespace, the CNI chain, then `pause`, which holds the pod's uts and ipc namespaces and
 * is the pod's oldest process. No container starts before all of it stands.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeProblems } from "#core/base/parse-result.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import { joinCgroup } from "../node-plan.ts";
import { launch, runPlan } from "../launcher/launcher.ts";
import { createCgroup, limitProcesses } from "./cgroups.ts";
import { type Attachment, CNI_FAILED } from "./cni/cni-runtime.ts";
import { type Conflist, isObject, type JsonObject, loadConflist, parseConflist } from "./cni/conflist.ts";
import { hostnameOf } from "./environment.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodObject } from "./pod-types.ts";
import { podCgroup } from "./resources.ts";

export interface Sandbox {
  readonly id: string;
  /** Empty for hostNetwork. */
  readonly netns: string;
  readonly ips: readonly string[];
  readonly pause: ChildProcess;
  readonly pausePid: number;
}

const PAUSE_START_MS = 10_000;
const LOOPBACK = parseConflist(
  JSON.stringify({ cniVersion: "1.0.0", name: "cni-loopback", plugins: [{ type: "loopback" }] }),
);

/** Everything is undone before it fails; CNI_FAILED carries the plugin's words. */
export async function createSandbox(context: NodeContext, pod: PodObject): Promise<Sandbox> {
  const id = randomBytes(32).toString("hex");
  const hostNetwork = pod.spec.hostNetwork === true;
  const netns = hostNetwork ? "" : join(context.netnsDirectory, `cni-${randomUUID()}`);
  try {
    const ips = hostNetwork
      ? [context.nodeIp, context.nodeIp6]
      : await connectPod(context, pod, { id, netns });
    return { id, netns, ips, ...(await startPause(context, pod, { id, netns })) };
  } catch (error) {
    await removeNetwork(context, pod, { id, netns }).catch((cleanup: unknown) =>
      context.log.warn(
        { pod: pod.metadata.name, error: describeError(cleanup) },
        "cleaning up after a failed sandbox failed",
      ),
    );
    throw error;
  }
}

/** DEL and removal of the namespace; fails when a plugin fails, and may be called again. */
export async function removeNetwork(
  context: NodeContext,
  pod: PodObject,
  sandbox: { readonly id: string; readonly netns: string },
): Promise<void> {
  if (sandbox.netns === "") return;
  await context.cni.del(currentConflist(context), attachment(pod, sandbox, "eth0"));
  await context.cni.del(loopback(), attachment(pod, sandbox, "lo"));
  runPlan(
    context.launcher,
    [],
    ["/bin/sh", "-c", 'umount -l "$0" 2>/dev/null; exec rm -f "$0"', sandbox.netns],
  );
}

async function connectPod(
  context: NodeContext,
  pod: PodObject,
  names: { readonly id: string; readonly netns: string },
): Promise<readonly string[]> {
  const list = currentConflist(context);
  mkdirSync(context.netnsDirectory, { recursive: true });
  const settings =
    "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad";
  runPlan(
    context.launcher,
    [
      ["unshare", "net"],
      ["pin-netns", names.netns],
    ],
    ["/bin/sh", "-c", settings],
  );
  await context.cni.add(loopback(), attachment(pod, names, "lo"));
  return addressesOf(await context.cni.add(list, attachment(pod, names, "eth0")));
}

function currentConflist(context: NodeContext): Conflist {
  const list = loadConflist(context.cniConfDirectory);
  if (!list.ok) throw new AmbitError(CNI_FAILED, describeProblems(list.problems));
  return list.value;
}

function loopback(): Conflist {
  if (!LOOPBACK.ok) throw new Error("the built-in loopback list does not parse");
  return LOOPBACK.value;
}

function attachment(
  pod: PodObject,
  names: { readonly id: string; readonly netns: string },
  ifName: string,
): Attachment {
  return {
    containerId: names.id,
    ifName,
    netns: names.netns,
    args: {
      K8S_POD_NAMESPACE: pod.metadata.namespace,
      K8S_POD_NAME: pod.metadata.name,
      K8S_POD_INFRA_CONTAINER_ID: names.id,
      K8S_POD_UID: pod.metadata.uid,
      IgnoreUnknown: "1",
    },
    capabilityArgs: { "io.kubernetes.cri.pod-annotations": pod.metadata.annotations ?? {} },
  };
}

/** IPv4 first, as in a dual-stack cluster whose first family is IPv4. */
function addressesOf(result: JsonObject): readonly string[] {
  const entries = Array.isArray(result["ips"]) ? result["ips"] : [];
  const addresses = entries.flatMap((entry: unknown) => {
    const address = isObject(entry) ? entry["address"] : undefined;
    return typeof address === "string" ? [address.replace(/\/.*$/, "")] : [];
  });
  if (addresses.length === 0) throw new AmbitError(CNI_FAILED, "the CNI result holds no address");
  return addresses.toSorted((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
}

async function startPause(
  context: NodeContext,
  pod: PodObject,
  names: { readonly id: string; readonly netns: string },
): Promise<{ readonly pause: ChildProcess; readonly pausePid: number }> {
  const group = `${podCgroup(pod.spec, pod.metadata.uid)}/${names.id}`;
  const layout = context.host.cgroups;
  createCgroup(layout, group);
  limitProcesses(layout, podCgroup(pod.spec, pod.metadata.uid));
  const own =
    names.netns === ""
      ? []
      : [
          ["netns", names.netns],
          ["unshare", "uts,ipc"],
          ["hostname", hostnameOf(pod)],
        ];
  const plan = [...joinCgroup(layout, group), ...own];
  const pause = launch(
    context.launcher,
    { plan, end: ["pause"] },
    { env: {}, stdio: ["ignore", "pipe", "pipe"] },
  );
  await untilReady(pause, PAUSE_START_MS);
  if (pause.pid === undefined) throw new AmbitError("SANDBOX_FAILED", "the pause process has no id");
  return { pause, pausePid: pause.pid };
}

/** Resolves when `pause` closes its standard output; fails with what it wrote when it ends instead. */
export function untilReady(child: ChildProcess, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(
      () => reject(new AmbitError("SANDBOX_FAILED", "pause did not start in time")),
      timeoutMs,
    );
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      reject(new AmbitError("SANDBOX_FAILED", `pause ended with ${code}: ${said.trim()}`));
    });
    child.stdout?.resume().on("end", () => {
      // A process that failed closes its output too: its end is reported within the same turn or the next.
      setTimeout(() => {
        clearTimeout(timer);
        if (child.exitCode === null && child.signalCode === null) resolve();
      }, 5);
    });
  });
}

export function removeSandboxDirectory(context: NodeContext, pod: PodObject): void {
  rmSync(join(context.podRoot, pod.metadata.uid), { recursive: true, force: true, maxRetries: 3 });
}
