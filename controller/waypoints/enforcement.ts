/** Pure. What the status of an HTTP policy says: whether waypoints enforce it everywhere, and what is missing. */
import type { MeshPolicy } from "../translate/mesh-policy.ts";
import type { Condition } from "../status/conditions.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { type Binding, bindingKey, type WantedBinding } from "./binding.ts";
import {
  auditText,
  behindText,
  dryRunText,
  explicitSelectorText,
  gapText,
  noPodText,
  noRoomText,
  NOTHING_COVERED,
  noWaypointText,
  ONLY_TCP_COVERED,
  stageText,
  unmadeText,
  waysAroundText,
} from "./enforcement-text.ts";
import type { Gap } from "./needs-waypoint.ts";
import type { PortReport } from "./port-report.ts";
import type { WaypointGateway } from "./waypoint-gateway.ts";
import { recordHasRoom } from "./waypoint-record.ts";
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
  if (policy.request === undefined || policy.l7Fields.length + policy.targets.length === 0) return undefined;
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
  if (hasArrived) return enforcedBy(name, wish.field, policy, view);
  return onItsWay(name, binding, wait);
}

function onItsWay(name: string, binding: Binding, wait: ReturnType<GatewayView["waits"]["get"]>): Verdict {
  const isNamed = wait?.reason === "WaitingForNode" || wait?.reason === "WaitingForWaypoint";
  const reason = isNamed ? wait.reason : STARTED[binding.stage];
  return no(reason, stageText(name, binding.stage, wait));
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
  // With a waypoint that people made, selector policies stay at ztunnels, as in Istio.
  const names = view.needs.explicit.get(policy.key) ?? [];
  if (policy.targets.length === 0) {
    return names.map((name) => no("ExplicitWaypoint", explicitSelectorText(name)));
  }
  return names.map((name) => {
    const one = view.gateways.get(name);
    if (gateway(name) === undefined || one === undefined) return no("TargetNotFound", noWaypointText(name));
    if (one.obstacle !== undefined) return no("WaypointFailed", unmadeText(name, one.obstacle));
    if (one.readyPods === 0) return no("WaypointStarting", `waypoint ${name}: ${noPodText(name)}`);
    return enforcedBy(name, policy.l7Fields[0] ?? policy.targets[0]?.path ?? "spec", policy, one);
  });
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
