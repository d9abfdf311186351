/**
 * Pure. Sentences of the condition `Enforced`, without full stops: what is the matter, by which object or field, and what to do. People read them in
 * `kubectl get authorizationpolicy -o yaml` and in `ambit waypoint status`.
 */
import { LABEL_DATAPLANE_MODE, LABEL_USE_WAYPOINT } from "#core/model/well-known.ts";
import { listed } from "../../status/listed.ts";
import type { Stage } from "../binding/binding.ts";
import type { WaitReason } from "../binding/binding-machine.ts";
import type { Gap } from "../needs/needs-waypoint.ts";
import { LABEL_GATEWAY_NAME } from "../gateway/waypoint-pods.ts";

/** Where to look on: which proxies have what. */
const LOOK = "see `ambit proxy-status`";

const STAGE_TEXT: Readonly<Record<Stage, string>> = {
  starting: "it is starting",
  exempting: "ztunnels are being told to let it in",
  binding: "callers are being sent to it",
  draining: "connections from before are coming to their end",
  denying: "ztunnels are being told to refuse whoever does not come through it",
  enforced: "it judges",
  releasing: "it is leaving, and is called back",
  lifting: "it is leaving, and is called back",
  unbinding: "it is leaving, and is called back",
  resting: "it is leaving, and is called back",
};

/** Of a waypoint that people made: it refuses nobody. */
const TAKEOVER_TEXT: Readonly<Record<Stage, string>> = {
  ...STAGE_TEXT,
  denying: "ztunnels are being told to let go of what came before",
};

interface Wait {
  readonly reason: WaitReason | "Done";
  readonly waitsFor: readonly string[];
}

export function stageText(waypoint: string, stage: Stage, wait: Wait | undefined): string {
  return `waypoint ${waypoint} is in stage ${stage} (${STAGE_TEXT[stage]})${waitText(waypoint, wait)}`;
}

export function takeoverText(waypoint: string, stage: Stage, wait: Wait | undefined): string {
  return `waypoint ${waypoint} is in stage ${stage} (${TAKEOVER_TEXT[stage]})${waitText(waypoint, wait)}`;
}

function waitText(waypoint: string, wait: Wait | undefined): string {
  if (wait === undefined) return "";
  if (wait.reason === "WaypointStarting") return `: ${noPodText(waypoint)}`;
  if (wait.waitsFor.length === 0) return "";
  return `, waiting for ${listed(wait.waitsFor)} to have what was published: ${LOOK}`;
}

/** `waypoint`: `namespace/name`. */
export function noPodText(waypoint: string): string {
  const [namespace, name] = waypoint.split("/");
  return `no pod of it is ready, see \`kubectl -n ${namespace} get pods -l ${LABEL_GATEWAY_NAME}=${name}\``;
}

export function behindText(waypoint: string, generation: number, behind: readonly string[]): string {
  const whom = behind.length === 0 ? "" : `, waiting for ${listed(behind)}: ${LOOK}`;
  return `waypoint ${waypoint} is bound, but generation ${generation} of the policy, or a change of the pods and services that it covers, is not in force everywhere yet${whom}`;
}

export function noRoomText(waypoint: string): string {
  return `waypoint ${waypoint} has as many policies as it can have (docs/limits.md): delete some, or let one with a wider selector take their place`;
}

export function unmadeText(waypoint: string, obstacle: string): string {
  return `waypoint ${waypoint} cannot be made: ${obstacle}`;
}

export function explicitSelectorText(waypoint: string): string {
  return `pods that it selects are behind waypoint ${waypoint}, which somebody chose (label ${LABEL_USE_WAYPOINT}); there requests are judged by policies with targetRefs alone: name the pods' Service in targetRefs, or the Gateway`;
}

export function noWaypointText(waypoint: string): string {
  return `there is no Gateway ${waypoint} of class istio-waypoint, which a label ${LABEL_USE_WAYPOINT} names: make it (\`ambit waypoint apply\`), or correct the label`;
}

/** What came before a waypoint that is not in force yet. */
export function goesOnText(waypoints: readonly string[]): string {
  return `meanwhile waypoint ${listed(waypoints)} goes on as before`;
}

export function joiningText(pods: readonly string[]): string {
  const names = listed(pods.map((pod) => `pod ${pod}`));
  return `${names} came under it just now: connections from before are coming to their end`;
}

/** Ztunnels that are not waited for. */
export function missingText(nodes: readonly string[]): string {
  return `no ztunnel is connected on ${listed(nodes)}: callers there may not know of the waypoint yet, and are refused until they do (${LOOK})`;
}

export const NOTHING_COVERED = `it covers no pod and no service of the mesh: look at its selector or targetRefs, and whether the namespace has the label ${LABEL_DATAPLANE_MODE}=ambient`;

export const ONLY_TCP_COVERED =
  "every port of the services in targetRefs counts as TCP, so that nothing it says is judged";

const GAP_TEXT: Readonly<Record<Gap["reason"], string>> = {
  TargetNotFound: "does not exist: make it, or correct the name",
  UnsupportedTarget:
    "cannot be a target: a Service of the policy's namespace can that is no ExternalName, and a Gateway of class istio-waypoint",
  OptedOut: `has opted out of waypoints (label ${LABEL_USE_WAYPOINT}=none), so that requests there are not judged: remove the label`,
  HostNetwork: "has the network of its node and cannot be captured: nothing is enforced there",
  NotEnrolled: `is not in the mesh, so that nothing is enforced there: label its namespace ${LABEL_DATAPLANE_MODE}=ambient; \`ambit ztunnel-config workload\` tells why it is not`,
};

export function gapText(reason: Gap["reason"], gaps: readonly Gap[]): string {
  return `${listed(gaps.map((gap) => ("path" in gap ? `${gap.path} ${gap.what}` : gap.what)))} ${GAP_TEXT[reason]}`;
}

/** A policy about a service judges who calls that service, as in Istio. */
export function waysAroundText(services: readonly string[]): string {
  return `who calls ${listed(services)} reaches the same pods and is not judged by it: name these services too, or use a selector`;
}

export function dryRunText(waypoint: string): string {
  return `waypoint ${waypoint} notes in its access log what it would do, and decides nothing by it: remove the annotation istio.io/dry-run to enforce it`;
}

export function auditText(waypoint: string, field: string): string {
  return `waypoint ${waypoint} notes in its access log what ${field} matches; what does not pass it is not noted`;
}
