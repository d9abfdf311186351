/** Pure. What the status of an HTTP policy says: whether waypoints enforce it everywhere, and what is missing. */
import type { MeshPolicy } from "../translate/mesh-policy.ts";
import type { Condition } from "../status/conditions.ts";
import { listed } from "../status/listed.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { type Binding, bindingKey, type WantedBinding } from "./binding.ts";
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
  const notes = [
    ...policy.requestProblems.map((p) => `${p.path} ${p.message}`),
    ...policy.notes.map(noteText),
    ...waysAround(view.needs.waysAround.get(policy.key) ?? []),
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
  message: "no enrolled pod or service is selected",
};

const ONLY_TCP: Verdict = {
  status: "False",
  reason: "OnlyTcpPorts",
  message: "every port of its services counts as TCP, so nothing that it says is judged",
};

function noteText({ path, message }: { readonly path: string; readonly message: string }): string {
  return `${path} ${message}`;
}

/** A policy about a service judges who calls that service, as in Istio. */
function waysAround(services: readonly string[]): readonly string[] {
  return services.length === 0
    ? []
    : [`who calls ${listed(services)} reaches the same pods and is not judged by it`];
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
    if (binding === undefined && !recordHasRoom(kept, wish))
      return [no("TooManyPolicies", `waypoint ${name} has no room for it (docs/limits.md)`)];
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
  if (view?.obstacle !== undefined)
    return no("WaypointFailed", `waypoint ${name} cannot be made: ${view.obstacle}`);
  if (binding === undefined || view === undefined)
    return no("WaypointStarting", `waypoint ${name} is being made`);
  const wait = view.waits.get(bindingKey(binding));
  const hasArrived = binding.stage === "enforced" || (wish.observes === true && wait?.reason === "Done");
  if (hasArrived) return enforcedBy(name, wish.field, policy, view);
  return onItsWay(name, binding, wait);
}

function onItsWay(name: string, binding: Binding, wait: ReturnType<GatewayView["waits"]["get"]>): Verdict {
  const stage = `waypoint ${name} is in stage ${binding.stage}`;
  if (wait === undefined || wait.waitsFor.length === 0) return no(STARTED[binding.stage], stage);
  return no(
    wait.reason === "WaitingForNode" || wait.reason === "WaitingForWaypoint"
      ? wait.reason
      : STARTED[binding.stage],
    `${stage}, waiting for ${listed(wait.waitsFor)}`,
  );
}

/** A newer generation is in force when everybody has acknowledged it. */
function enforcedBy(
  name: string,
  field: string,
  { key, generation, request }: MeshPolicy,
  view: GatewayView,
): Verdict {
  if (request?.dryRun === true) return dryRun(name);
  if (!view.published || view.generations.get(key) !== generation)
    return no("Updating", `waypoint ${name} is being told of the newest version`);
  if (view.behind.length > 0)
    return no("WaitingForWaypoint", `waypoint ${name} waits for ${listed(view.behind)}`);
  if (view.destinationsBehind.length > 0)
    return no("WaitingForNode", `waypoint ${name} waits for ${listed(view.destinationsBehind)}`);
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
    return names.map((name) =>
      no(
        "ExplicitWaypoint",
        `pods behind waypoint ${name} are left to ztunnels, which see its identity: use targetRefs`,
      ),
    );
  }
  return names.map((name) => {
    const one = view.gateways.get(name);
    if (gateway(name) === undefined || one === undefined)
      return no("TargetNotFound", `there is no waypoint ${name}`);
    if (one.obstacle !== undefined)
      return no("WaypointFailed", `waypoint ${name} cannot be made: ${one.obstacle}`);
    if (one.readyPods === 0) return no("WaypointStarting", `waypoint ${name} has no pod that is ready`);
    return enforcedBy(name, policy.l7Fields[0] ?? policy.targets[0]?.path ?? "spec", policy, one);
  });
}

const GAP_TEXT: Readonly<Record<Gap["reason"], string>> = {
  TargetNotFound: "does not exist",
  UnsupportedTarget: "cannot be a target",
  OptedOut: "has opted out of waypoints",
  HostNetwork: "has the node's network and cannot be captured",
  NotEnrolled: "is not enrolled",
};

function gaps(found: readonly Gap[]): readonly Verdict[] {
  return [...Map.groupBy(found, ({ reason }) => reason)].map(([reason, list]) =>
    no(reason, `${listed(list.map(({ what }) => what))} ${GAP_TEXT[reason]}`),
  );
}

function auditText(name: string, field: string): string {
  return `waypoint ${name} notes in its access log what ${field} matches; what does not pass it is not noted`;
}

function dryRun(name: string): Verdict {
  return no("DryRun", `waypoint ${name} notes in its access log what it would do, and decides nothing by it`);
}

function no(reason: string, message: string): Verdict {
  return { status: "False", reason, message };
}

function yes(message: string): Verdict {
  return { status: "True", reason: "Enforced", message };
}
