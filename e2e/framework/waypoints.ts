/** Waypoints as suites and tour see them: Gateways with their conditions, and the pods behind them. */
import { jsonList, jsonObject, type JsonObject, jsonText } from "#core/k8s/json-read.ts";
import { AUTHORIZATION_POLICY, kindPath } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { ANNOTATION_BINDING, AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { eventually } from "./eventually.ts";
import { listPods, type PodFacts } from "./pods.ts";
import type { ConditionFacts } from "./policies.ts";

/** The waypoint that the controller makes by itself. */
export const AUTOMATIC: string = AUTOMATIC_WAYPOINT;

export interface GatewayFacts {
  readonly name: string;
  readonly className: string;
  readonly conditions: readonly ConditionFacts[];
  /** A deletion has begun. */
  readonly ending: boolean;
}

const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";

export function gatewaysPath(namespace: string): string {
  return `/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/gateways`;
}

export async function gatewaysOf(client: KubeClient, namespace: string): Promise<readonly GatewayFacts[]> {
  const list = jsonObject(await client.json({ method: "GET", path: gatewaysPath(namespace) }));
  return jsonList(list["items"])
    .map(jsonObject)
    .map((object) => ({
      name: jsonText(jsonObject(object["metadata"])["name"]),
      className: jsonText(jsonObject(object["spec"])["gatewayClassName"]),
      conditions: conditionsOf(object),
      ending: jsonObject(object["metadata"])["deletionTimestamp"] !== undefined,
    }));
}

/** Stages of the bindings that the controller records on a Gateway; none when there is no such Gateway. */
export async function bindingStages(
  client: KubeClient,
  namespace: string,
  gateway: string,
): Promise<readonly string[]> {
  const path = `${gatewaysPath(namespace)}/${gateway}`;
  return stagesOn(jsonObject(await client.json({ method: "GET", path })));
}

/** The same of a Gateway at hand. */
export function stagesOn(gateway: JsonObject): readonly string[] {
  const text = jsonText(jsonObject(jsonObject(gateway["metadata"])["annotations"])[ANNOTATION_BINDING]);
  if (text === "") return [];
  const { bindings } = jsonObject(JSON.parse(text));
  return jsonList(bindings).map((binding) => jsonText(jsonObject(binding)["stage"]));
}

/** Pods of a waypoint, those that are going away left out. */
export async function waypointPodsOf(
  client: KubeClient,
  namespace: string,
  gateway: string,
): Promise<readonly PodFacts[]> {
  const pods = await listPods(client, namespace, `${GATEWAY_LABEL}=${gateway}`);
  return pods.filter((pod) => !pod.ending);
}

/** A condition of an AuthorizationPolicy for its present generation; undefined while there is none. */
export async function policyCondition(
  client: KubeClient,
  { namespace, name, type }: { readonly namespace: string; readonly name: string; readonly type: string },
): Promise<ConditionFacts | undefined> {
  const path = kindPath(AUTHORIZATION_POLICY, { namespace, name });
  const object = jsonObject(await client.json({ method: "GET", path }));
  const { generation } = jsonObject(object["metadata"]);
  const current = jsonList(jsonObject(object["status"])["conditions"])
    .map(jsonObject)
    .filter((condition) => condition["observedGeneration"] === generation);
  return current.map(conditionFacts).find((condition) => condition.type === type);
}

/** Waits for `Enforced: True` and gives back the seconds that it took. */
export async function untilEnforced(client: KubeClient, namespace: string, name: string): Promise<number> {
  const began = performance.now();
  let last = "no condition";
  await eventually(
    `${namespace}/${name} Enforced`,
    async () => {
      const condition = await policyCondition(client, { namespace, name, type: "Enforced" });
      if (condition?.status === "True") return true;
      last = condition === undefined ? last : `${condition.reason}: ${condition.message}`;
      throw new Error(last);
    },
    60_000,
  );
  return (performance.now() - began) / 1_000;
}

/** Waits until neither the Gateway nor a pod of it is left. */
export function untilGone(client: KubeClient, namespace: string, gateway: string): Promise<true> {
  return eventually(
    `waypoint ${namespace}/${gateway} gone`,
    async () => {
      const gateways = await gatewaysOf(client, namespace);
      const pods = await listPods(client, namespace, `${GATEWAY_LABEL}=${gateway}`);
      return !gateways.some(({ name }) => name === gateway) && pods.length === 0 ? true : undefined;
    },
    90_000,
  );
}

function conditionsOf(object: Readonly<Record<string, unknown>>): readonly ConditionFacts[] {
  return jsonList(jsonObject(object["status"])["conditions"]).map((c) => conditionFacts(jsonObject(c)));
}

function conditionFacts(condition: Readonly<Record<string, unknown>>): ConditionFacts {
  const field = (name: string): string => jsonText(condition[name]);
  return { type: field("type"), status: field("status"), reason: field("reason"), message: field("message") };
}
