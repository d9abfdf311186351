/** Pure. A Gateway of class istio-waypoint as `ambit waypoint` shows it. */
import { readWaypointGateway } from "#controller/waypoints/gateway/waypoint-gateway.ts";
import type { BindingScope } from "#controller/waypoints/binding/binding.ts";
import { jsonList, jsonObject, type JsonObject, jsonText } from "#core/k8s/json-read.ts";
import { projectCustom } from "#core/k8s/project.ts";

export interface WaypointReason {
  /** `namespace/name` of the policy. */
  readonly policy: string;
  /** Path of the field that ztunnels cannot enforce. */
  readonly field: string;
  /** Which services or pods it is about. */
  readonly scope: string;
  /** How far that has got (docs/adr/0016). */
  readonly stage: string;
  /** Of the policy; undefined while nobody has looked. */
  readonly enforced?: Enforced;
}

/** Condition `Enforced`. */
export interface Enforced {
  /** True, False or Unknown; `-` without the policy. */
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface Programmed {
  /** True, False or Unknown. */
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface WaypointView {
  readonly namespace: string;
  readonly name: string;
  readonly revision: string;
  /** service, workload, all or none. */
  readonly trafficType: string;
  /** Made by the controller, for the reasons below. */
  readonly automatic: boolean;
  readonly addresses: readonly string[];
  readonly programmed: Programmed;
  readonly reasons: readonly WaypointReason[];
  /** Labels and annotations that cannot be read. */
  readonly problems: readonly string[];
}

/** Gateways of other classes are left out. By namespace and name. */
export function waypointViews(gateways: readonly JsonObject[]): readonly WaypointView[] {
  return gateways
    .flatMap(viewOf)
    .toSorted((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

function viewOf(raw: JsonObject): readonly WaypointView[] {
  const object = projectCustom(raw);
  const gateway = readWaypointGateway(object);
  if (gateway === undefined) return [];
  const addresses = jsonList(jsonObject(raw["status"])["addresses"]);
  return [
    {
      namespace: gateway.namespace,
      name: gateway.name,
      revision: object.metadata.labels["istio.io/rev"] ?? "default",
      trafficType: gateway.automatic ? "all" : gateway.serves,
      automatic: gateway.automatic,
      addresses: addresses.map((address) => jsonText(jsonObject(address)["value"])),
      programmed: programmedOf(object.conditions),
      reasons: gateway.record.bindings.map(({ policy, field, scope, stage }) => ({
        policy,
        field,
        scope: scopeText(scope),
        stage,
      })),
      problems: gateway.problems.map(({ path, message }) => `${path} ${message}`),
    },
  ];
}

function programmedOf(conditions: readonly unknown[]): Programmed {
  const found = conditions.map(jsonObject).find((condition) => condition["type"] === "Programmed");
  return {
    status: jsonText(found?.["status"]) || "Unknown",
    reason: jsonText(found?.["reason"]),
    message: jsonText(found?.["message"]),
  };
}

function scopeText(scope: BindingScope): string {
  if (scope.kind === "services") return `services ${scope.names.join(",")}`;
  const labels = Object.entries(scope.labels).map(([key, value]) => `${key}=${value}`);
  return labels.length === 0 ? "all pods" : `pods ${labels.join(",")}`;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
