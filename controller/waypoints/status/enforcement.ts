/** Pure. What the status of an HTTP policy says: whether waypoints enforce it everywhere, and what is missing. */
import { isForWaypoints, type MeshPolicy } from "../../translate/mesh-policy.ts";
import type { Condition } from "../../status/conditions.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { attachedOf, namespaceOf } from "../takeover/attachment.ts";
import { type Binding, bindingKey, pushesOf, type Stage, type WantedBinding } from "../binding/binding.ts";
import {
  auditText,
  behindText,
  dryRunText,
  explicitSelectorText,
  gapText,
  goesOnText,
  missingText,
  noPodText,
  noRoomText,
  NOTHING_COVERED,
  noWaypointText,
  ONLY_TCP_COVERED,
  stageText,
  takeoverText,
  unmadeText,
  waysAroundText,
} from "./enforcement-text.ts";
import type { Gap } from "../needs/needs-waypoint.ts";
import type { PortReport } from "./port-report.ts";
import type { WaypointGateway } from "../gateway/waypoint-gateway.ts";
import { recordHasRoom } from "../gateway/waypoint-record.ts";
import type { GatewayView, WaypointView } from "./waypoint-view.ts";

type Verdict = Pick<Condition, "status" | "reason" | "message">;

const TYPE = "Enforced";

/** Undefined for policies that need no waypoint. `gateway`: by `namespace/name`. */
export function enforcedCondition(
  policy: MeshPolicy,
  view: WaypointView,
  gateway: (key: string) => WaypointGateway | undefined,
  ports: PortReport,
): Condition | undefined {
  if (policy.request === undefined || !isForWaypoints(policy)) return undefined;
  const verdicts = [
    ...automatic(policy, view, gateway),
    ...explicit(policy, view, gateway),
    ...gaps(view.needs.gaps.get(policy.key) ?? []),
    ...(ports.judgesNothing ? [ONLY_TCP] : []),
  ];
  const around = view.needs.waysAround.get(policy.key) ?? [];
  const notes = [
    ...policy.requestProblems.map((p) => `${p.path} ${p.message}`),
    ...policy.notes.map(noteText),
    ...(around.length === 0 ? [] : [waysAroundText(around)]),
    ...ports.notes,
  ];
  const failed = verdicts.filter(({ status }) => status === "False");
  const [first] = failed.length > 0 ? failed : verdicts;
  const verdict = first ?? NOTHING;
  const messages = (failed.length > 0 ? failed : verdicts).map(({ message }) => message);
  const message = [...(first === undefined ? [NOTHING.message] : messages), ...notes].join("; ");
  const { generation: observedGeneration } = policy;
  const { status, reason } = verdict;
  return { type: TYPE, status, reason, message: message.slice(0, MAX_MESSAGE), observedGeneration };
}

const MAX_MESSAGE = 4_096;
const NOTHING: Verdict = {
  status: "False",
  reason: "NotEnrolled",
  message: NOTHING_COVERED,
};

const ONLY_TCP: Verdict = {
  status: "False",
  reason: "OnlyTcpPorts",
  message: ONLY_TCP_COVERED,
};

function noteText({ path, message }: { readonly path: string; readonly message: string }): string {
  return `${path} ${message}`;
}

/** One verdict for every namespace in which it needs the automatic waypoint. */
function automatic(
  policy: MeshPolicy,
  view: WaypointView,
  gateway: (key: string) => WaypointGateway | undefined,
): readonly Verdict[] {
  return [...view.needs.namespaces].flatMap(([namespace, wanted]) => {
    const wish = wanted.find((one) => one.policy === policy.key);
    if (wish === undefined) return [];
    const name = `${namespace}/${AUTOMATIC_WAYPOINT}`;
    const binding = gateway(name)?.record.bindings.find((one) => bindingKey(one) === bindingKey(wish));
    const kept = gateway(name)?.record.bindings ?? [];
    if (binding === undefined && !recordHasRoom(kept, wish)) return [no("TooManyPolicies", noRoomText(name))];
    return [stageVerdict(name, policy, { wish, binding, view: view.gateways.get(name) })];
  });
}

const STARTED: Readonly<Record<Binding["stage"], string>> = {
  starting: "WaypointStarting",
  exempting: "Exempting",
  binding: "Binding",
  draining: "Draining",
  denying: "Denying",
  enforced: "Enforced",
  releasing: "Releasing",
  lifting: "Releasing",
  unbinding: "Releasing",
  resting: "Releasing",
};

interface Place {
  readonly wish: WantedBinding;
  readonly binding: Binding | undefined;
  readonly view: GatewayView | undefined;
}

function stageVerdict(name: string, policy: MeshPolicy, { wish, binding, view }: Place): Verdict {
  if (view?.obstacle !== undefined) return no("WaypointFailed", unmadeText(name, view.obstacle));
  if (binding === undefined || view === undefined)
    return no("WaypointStarting", `waypoint ${name} is being made`);
  const wait = view.waits.get(bindingKey(binding));
  const hasArrived = binding.stage === "enforced" || (wish.observes === true && wait?.reason === "Done");
  if (!hasArrived) return onItsWay(name, binding, wait);
  const verdict = enforcedBy(name, wish.field, policy, view);
  const isRefused = verdict.status === "True" && wish.observes !== true && view.sourcesMissing.length > 0;
  return isRefused ? yes(`${verdict.message}; ${missingText(view.sourcesMissing)}`) : verdict;
}

function onItsWay(name: string, { stage }: Binding, wait: ReturnType<GatewayView["waits"]["get"]>): Verdict {
  return no(reasonOf(stage, wait), stageText(name, stage, wait));
}

function reasonOf(stage: Stage, wait: ReturnType<GatewayView["waits"]["get"]>): string {
  const isNamed = wait?.reason === "WaitingForNode" || wait?.reason === "WaitingForWaypoint";
  return isNamed ? wait.reason : STARTED[stage];
}

/** A newer generation is in force when everybody has acknowledged it. */
function enforcedBy(
  name: string,
  field: string,
  { key, generation, request }: MeshPolicy,
  view: GatewayView,
): Verdict {
  if (request?.dryRun === true) return no("DryRun", dryRunText(name));
  if (!view.published || view.generations.get(key) !== generation)
    return no("Updating", behindText(name, generation, []));
  if (view.behind.length > 0) return no("WaitingForWaypoint", behindText(name, generation, view.behind));
  if (view.destinationsBehind.length > 0)
    return no("WaitingForNode", behindText(name, generation, view.destinationsBehind));
  return yes(request?.action === "audit" ? auditText(name, field) : `waypoint ${name} enforces ${field}`);
}

function explicit(
  policy: MeshPolicy,
  view: WaypointView,
  gateway: (key: string) => WaypointGateway | undefined,
): readonly Verdict[] {
  const names = view.needs.explicit.get(policy.key) ?? [];
  return names.map((name) => {
    const verdict = explicitVerdict(name, policy, { view: view.gateways.get(name), gateway: gateway(name) });
    const others = [...view.gateways.keys()].flatMap((key) => (key === name ? [] : (gateway(key) ?? [])));
    const before = others.filter((other) => isInForce(other, policy)).map(({ key }) => key);
    return verdict.status === "True" || before.length === 0
      ? verdict
      : no(verdict.reason, `${verdict.message}; ${goesOnText(before)}`);
  });
}

interface Explicit {
  readonly view: GatewayView | undefined;
  readonly gateway: WaypointGateway | undefined;
}

function explicitVerdict(name: string, policy: MeshPolicy, { view, gateway }: Explicit): Verdict {
  if (gateway === undefined || view === undefined) return no("TargetNotFound", noWaypointText(name));
  // With a waypoint that people made, selector policies stay at ztunnels, as in Istio.
  if (policy.targets.length === 0) return no("ExplicitWaypoint", explicitSelectorText(name));
  if (view.obstacle !== undefined) return no("WaypointFailed", unmadeText(name, view.obstacle));
  if (view.readyPods === 0) return no("WaypointStarting", `waypoint ${name}: ${noPodText(name)}`);
  const behind = attachedOf(gateway).find(
    ({ carrier, stage }) => namespaceOf(carrier) === policy.namespace && stage !== "enforced",
  );
  if (behind !== undefined) {
    const wait = view.waits.get(behind.carrier);
    return no(reasonOf(behind.stage, wait), takeoverText(name, behind.stage, wait));
  }
  return enforcedBy(name, policy.l7Fields[0] ?? policy.targets[0]?.path ?? "spec", policy, view);
}

/** Whether another waypoint than the one that labels name still judges by the policy. */
function isInForce(gateway: WaypointGateway, { key, namespace }: MeshPolicy): boolean {
  const stages = gateway.automatic
    ? gateway.record.bindings.filter(({ policy }) => policy === key)
    : attachedOf(gateway).filter(({ carrier }) => namespaceOf(carrier) === namespace);
  return stages.some(({ stage }) => pushesOf(stage).binds);
}

function gaps(found: readonly Gap[]): readonly Verdict[] {
  return [...Map.groupBy(found, ({ reason }) => reason)].map(([reason, list]) =>
    no(reason, gapText(reason, list)),
  );
}

function no(reason: string, message: string): Verdict {
  return { status: "False", reason, message };
}

function yes(message: string): Verdict {
  return { status: "True", reason: "Enforced", message };
}
