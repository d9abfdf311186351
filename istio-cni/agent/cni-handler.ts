/**
 * What happens on each CNI verb. ADD runs before any process of the pod exists, so capture here is free of races;
 * every doubt fails it with a sentence that an operator reads in the pod's events.
 */
import { statSync } from "node:fs";
import { describeProblems } from "#core/base/parse-result.ts";
import { decideEnrolment } from "#core/authz/enrolment.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { type Netns, openNetns } from "#core/linux/netns.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { CNI_ERROR } from "../plugin/protocol.ts";
import { attachmentKey, type CniRequest, type Headers, parseCniRequest } from "./cni-request.ts";
import type { MeshDataplane } from "./mesh-dataplane.ts";
import { type FoundNetns, reservedNetnsInodes } from "./netns-finder.ts";
import { foreignProbesText } from "./pod-action.ts";
import { enrolmentNamespace, enrolmentPod, podRef, podText } from "./pod-ref.ts";
import type { RefusalCounts } from "./refusals.ts";

export interface CniReply {
  readonly status: 200 | 500;
  readonly body: string;
}

export interface CniHandlerDeps {
  readonly nodeName: string;
  readonly systemNamespace: string;
  readonly excludedNamespaces: readonly string[];
  readonly dataplane: MeshDataplane;
  /** Asks the API directly when the cache does not have the pod yet; undefined when there is none. */
  readonly findPod: (namespace: string, name: string, uid: string) => Promise<PodObject | undefined>;
  readonly findNamespace: (name: string) => Promise<NamespaceObject | undefined>;
  /** The namespace of the pod's processes, if any run already. */
  readonly findNetns: (uid: string) => FoundNetns;
  /** Why the agent cannot serve now; undefined when it can. */
  readonly notReady: () => string | undefined;
  readonly refusals: RefusalCounts;
  readonly log: Logger;
}

/** Thrown inside a verb and turned into CNI error JSON. */
class Refusal extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export class CniHandler {
  readonly #deps: CniHandlerDeps;
  /** Attachments that this agent answered, with the pod each belongs to. */
  readonly #attachments = new Map<string, string>();

  constructor(deps: CniHandlerDeps) {
    this.#deps = deps;
  }

  /** Never rejects. */
  async handle(headers: Headers, body: string): Promise<CniReply> {
    const request = parseCniRequest(headers, body);
    if (!request.ok) {
      const code =
        request.problems[0]?.path === "configuration"
          ? CNI_ERROR.undecodableInput
          : CNI_ERROR.invalidEnvironment;
      return this.#fail({ cniVersion: "1.0.0" }, code, describeProblems(request.problems));
    }
    try {
      return await this.#perform(request.value);
    } catch (error) {
      const code = error instanceof Refusal ? error.code : CNI_ERROR.enrolmentFailed;
      const message = error instanceof Refusal ? error.message : describeError(error);
      return this.#fail(request.value, code, message);
    }
  }

  /** One line and one count per refusal. */
  #fail(
    request: Pick<CniRequest, "cniVersion"> & Partial<CniRequest>,
    code: number,
    message: string,
  ): CniReply {
    const { command, pod, cniVersion } = request;
    const named = pod === undefined ? undefined : `${pod.namespace}/${pod.name}`;
    this.#deps.log.warn({ command, pod: named, code, error: message }, "cni request failed");
    this.#deps.refusals.count("cni-request");
    return failure(cniVersion, code, message);
  }

  #perform(request: CniRequest): Promise<CniReply> | CniReply {
    switch (request.command) {
      case "ADD":
        return this.#add(request);
      case "DEL":
        return this.#del(request);
      case "CHECK":
        return this.#check(request);
      case "GC":
        return this.#collect(request);
      case "STATUS":
        return this.#status(request);
    }
  }

  async #add(request: CniRequest): Promise<CniReply> {
    if (typeof request.prevResult !== "object" || request.prevResult === null) {
      throw new Refusal(
        CNI_ERROR.invalidConfig,
        "there is no prevResult: ambit-cni must come after the plugin that makes the interface",
      );
    }
    const result: CniReply = { status: 200, body: JSON.stringify(request.prevResult) };
    const key = attachmentKey(request.containerId, request.ifName);
    if (this.#attachments.has(key)) return result;
    if (request.pod === undefined)
      throw new Refusal(
        CNI_ERROR.invalidEnvironment,
        "CNI_ARGS does not name the pod (K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID)",
      );
    const pod = await this.#podOf(request.pod);
    const namespace = enrolmentNamespace(await this.#deps.findNamespace(pod.metadata.namespace));
    const decision = decideEnrolment(enrolmentPod(pod), namespace, this.#deps);
    if (decision.kind === "skip") return result;
    this.#requireReady(CNI_ERROR.tryLater);
    refuseForeignProbes(pod);
    const netns = openPodNetns(request.netnsPath);
    this.#refuseForeignNetns(pod, netns);
    const outcome = await this.#deps.dataplane.join(podRef(pod, request.ips), netns);
    if (outcome.kind === "refused") {
      throw new Refusal(
        CNI_ERROR.enrolmentFailed,
        `the pod's traffic cannot be captured, so it does not start: ${outcome.message}`,
      );
    }
    this.#attachments.set(key, pod.metadata.uid);
    return result;
  }

  async #podOf(named: NonNullable<CniRequest["pod"]>): Promise<PodObject> {
    const { nodeName, findPod } = this.#deps;
    const pod = await findPod(named.namespace, named.name, named.uid);
    const text = `pod ${named.namespace}/${named.name}`;
    if (pod === undefined)
      throw new Refusal(
        CNI_ERROR.tryLater,
        `${text} with uid ${named.uid} is not known to the API (or the API is away); will be tried again`,
      );
    if (pod.node !== nodeName)
      throw new Refusal(CNI_ERROR.enrolmentFailed, `${text} belongs to node ${pod.node}, not to ${nodeName}`);
    return pod;
  }

  /** A namespace that is not this pod's would give its identity to a stranger's processes. */
  #refuseForeignNetns(pod: PodObject, netns: Netns): void {
    const wrong = this.#heldByAnother(pod, netns) ?? this.#unlikeItsProcesses(pod, netns);
    if (wrong === undefined) return;
    netns.close();
    throw new Refusal(CNI_ERROR.enrolmentFailed, wrong);
  }

  #heldByAnother(pod: PodObject, netns: Netns): string | undefined {
    const holder = this.#deps.dataplane.pods.all().find((entry) => entry.target.netns.inode === netns.inode);
    if (holder === undefined || holder.pod.uid === pod.metadata.uid) return undefined;
    return `CNI_NETNS is the network namespace of pod ${podText(holder.pod)}`;
  }

  #unlikeItsProcesses(pod: PodObject, netns: Netns): string | undefined {
    const found = this.#deps.findNetns(pod.metadata.uid);
    if (found.kind !== "found") return undefined;
    found.netns.close();
    return found.netns.inode === netns.inode
      ? undefined
      : `CNI_NETNS is not the network namespace in which process ${found.pid} of the pod runs`;
  }

  async #del(request: CniRequest): Promise<CniReply> {
    const key = attachmentKey(request.containerId, request.ifName);
    const uid = this.#attachments.get(key);
    this.#attachments.delete(key);
    if (uid !== undefined) await this.#deps.dataplane.ended(uid);
    return EMPTY;
  }

  /** An agent that was restarted knows the pod, not the attachment. Pods that were never captured have nothing to check. */
  #check(request: CniRequest): CniReply {
    const { pods } = this.#deps.dataplane;
    const uid = this.#attachments.get(attachmentKey(request.containerId, request.ifName));
    const entry = pods.get(uid ?? request.pod?.uid ?? "");
    if (uid === undefined && entry === undefined) return EMPTY;
    if (entry === undefined) throw new Refusal(CNI_ERROR.unknownContainer, "the pod is no longer captured");
    const fault = this.#deps.dataplane.faultOf(entry);
    if (fault !== undefined) throw new Refusal(CNI_ERROR.enrolmentFailed, fault);
    return EMPTY;
  }

  async #collect(request: CniRequest): Promise<CniReply> {
    const valid = new Set(request.validAttachments ?? this.#attachments.keys());
    for (const [key, uid] of this.#attachments) {
      if (valid.has(key)) continue;
      this.#attachments.delete(key);
      await this.#deps.dataplane.ended(uid);
    }
    return EMPTY;
  }

  #status(_request: CniRequest): CniReply {
    this.#requireReady(CNI_ERROR.notAvailable);
    return EMPTY;
  }

  #requireReady(code: number): void {
    const reason = this.#deps.notReady();
    if (reason !== undefined) throw new Refusal(code, `the node agent is not ready: ${reason}`);
  }
}

const EMPTY: CniReply = { status: 200, body: "" };

function refuseForeignProbes(pod: PodObject): void {
  if (pod.foreignProbeHosts.length === 0) return;
  throw new Refusal(CNI_ERROR.enrolmentFailed, foreignProbesText(pod));
}

function openPodNetns(path: string): Netns {
  let netns: Netns;
  try {
    statSync(path);
    netns = openNetns(path);
  } catch (error) {
    throw new Refusal(
      CNI_ERROR.invalidEnvironment,
      `CNI_NETNS is not a network namespace: ${describeError(error)}`,
    );
  }
  if (!reservedNetnsInodes().has(netns.inode)) return netns;
  netns.close();
  throw new Refusal(CNI_ERROR.invalidEnvironment, "CNI_NETNS is the node's own network namespace");
}

function failure(cniVersion: string, code: number, message: string): CniReply {
  return { status: 500, body: `${JSON.stringify({ cniVersion, code, msg: `ambit-cni: ${message}` })}\n` };
}
