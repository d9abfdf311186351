/** The Node object and its lease: made at start, renewed for as long as the kubelet lives. */
import type { Clock } from "#core/base/clock.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { createObject, mergePatch } from "#core/k8s/apply.ts";
import { kindPath, LEASE, NODE } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { loadConflist } from "./cni/conflist.ts";

export interface NodeFacts {
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
  readonly podCidrs: readonly string[];
  readonly cniConfDirectory: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly arch: string;
  readonly kernel: string;
}

export interface RegistrationDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_SECONDS = 40;
const PERIOD_MS = 1_000;
const RENEW_MS = 10_000;
const RETRY_MS = 500;

/** Registers, then keeps lease and Ready condition true to the facts until `signal` fires. */
export async function keepNodeRegistered(
  facts: NodeFacts,
  deps: RegistrationDeps,
  signal: AbortSignal,
): Promise<void> {
  let reported = "";
  let renewedMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      const ready = networkProblem(facts) ?? "";
      if (ready !== reported || (reported === "" && renewedMs < 0)) {
        await writeNode(facts, deps, ready);
        reported = ready;
      }
      if (deps.clock.monotonicMs() - renewedMs >= RENEW_MS) {
        await renewLease(facts, deps);
        renewedMs = deps.clock.monotonicMs();
      }
    } catch (error) {
      deps.log.warn({ error: describeError(error) }, "node registration failed");
      await deps.clock.sleep(RETRY_MS, signal);
    }
    await deps.clock.sleep(PERIOD_MS, signal);
  }
}

/** The reason why pods cannot get a network, as containerd says it; undefined when they can. */
function networkProblem(facts: NodeFacts): string | undefined {
  const list = loadConflist(facts.cniConfDirectory);
  if (list.ok) return undefined;
  return `container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:${describeProblems(list.problems)}`;
}

async function writeNode(
  facts: NodeFacts,
  { client, clock }: RegistrationDeps,
  problem: string,
): Promise<void> {
  const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z/, "Z");
  const labels = {
    "kubernetes.io/hostname": facts.name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": facts.arch,
  };
  const status = nodeStatus(facts, problem, now);
  const target = { kind: NODE, namespace: "", name: facts.name };
  try {
    await mergePatch(client, target, { metadata: { labels } });
  } catch (error) {
    if (kubeStatus(error) !== 404) throw error;
    await createObject(client, NODE, "", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: facts.name, labels },
      spec: { podCIDR: facts.podCidrs[0], podCIDRs: facts.podCidrs },
    });
  }
  await mergePatch(client, { ...target, subresource: "status" }, { status });
}

function nodeStatus(facts: NodeFacts, problem: string, now: string): object {
  const healthy = (type: string, reason: string): object => ({
    type,
    status: "False",
    reason,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  const capacity = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: "110",
  };
  return {
    addresses: [
      { type: "InternalIP", address: facts.ip },
      { type: "InternalIP", address: facts.ip6 },
      { type: "Hostname", address: facts.name },
    ],
    capacity,
    allocatable: capacity,
    conditions: [
      healthy("MemoryPressure", "KubeletHasSufficientMemory"),
      healthy("DiskPressure", "KubeletHasNoDiskPressure"),
      healthy("PIDPressure", "KubeletHasSufficientPID"),
      {
        type: "Ready",
        status: problem === "" ? "True" : "False",
        reason: problem === "" ? "KubeletReady" : "KubeletNotReady",
        message: problem === "" ? "kubelet is posting ready status" : problem,
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      },
    ],
    nodeInfo: {
      architecture: facts.arch,
      operatingSystem: "linux",
      osImage: "the machine of the local cluster",
      kernelVersion: facts.kernel,
      kubeletVersion: "v1.35.0-ambit-local",
      kubeProxyVersion: "",
      containerRuntimeVersion: "ambit://local",
      machineID: facts.name,
      systemUUID: facts.name,
      bootID: facts.name,
    },
  };
}

async function renewLease(facts: NodeFacts, { client, clock }: RegistrationDeps): Promise<void> {
  const renewTime = new Date(clock.nowMs()).toISOString().replace("Z", "000Z");
  const spec = { holderIdentity: facts.name, leaseDurationSeconds: LEASE_SECONDS, renewTime };
  try {
    await mergePatch(client, { kind: LEASE, namespace: LEASE_NAMESPACE, name: facts.name }, { spec });
  } catch (error) {
    if (kubeStatus(error) !== 404) throw error;
    const path = kindPath(LEASE, { namespace: LEASE_NAMESPACE });
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: facts.name, namespace: LEASE_NAMESPACE },
      spec,
    };
    await client.json({ method: "POST", path, body });
  }
}
