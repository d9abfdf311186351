/** For tests of bindings: proxies that connect to a whole controller and note what they are told, and a stand-in for Kubernetes' own controllers. */
import { systemClock } from "#core/base/clock.ts";
import { jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { AUTOMATIC_WAYPOINT, TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import { silentLogger } from "#core/runtime/log.ts";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { decodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { decodeAuthorization } from "#core/wire/authorization-codec.ts";
import { DeltaClient, type XdsUpdate } from "#core/xds/delta-client.ts";
import type { XdsRejection } from "#core/xds/delta-state.ts";
import type { Controller } from "../app.ts";
import { LABEL_GATEWAY_NAME } from "../waypoints/gateway/waypoint-pods.ts";
import { type Harness, makeToken, pod, ROOTS, ztunnelToken } from "./harness.ts";

export const GATEWAYS = "/apis/gateway.networking.k8s.io/v1/gateways";
export const DEPLOYMENTS = "/apis/apps/v1/deployments";
const REPLICA_SETS = "/apis/apps/v1/replicasets";
export const WAYPOINT_KEY = `shop/${AUTOMATIC_WAYPOINT}`;
export const CATALOG = "Kubernetes//Pod/shop/catalog";
const WAYPOINT_POD = "wp";

/** What a ztunnel knows that orders are about, in the moment of each change. */
export interface Known {
  readonly exempts: boolean;
  readonly binds: boolean;
  readonly denies: boolean;
}

export interface Proxy<K = Known> {
  readonly client: DeltaClient;
  /** Distinct states in the order in which they came. */
  readonly seen: readonly K[];
  disconnect(): Promise<void>;
}

interface Target {
  readonly h: Harness;
  readonly controller: Pick<Controller, "ports">;
}

/** `ztunnel-<n>` on `node-<n>`. `refuse`: what it cannot use. */
export function connectZtunnel(
  target: Target,
  n: number,
  refuse: (update: XdsUpdate) => readonly XdsRejection[] = () => [],
): Proxy {
  const first: Known = { exempts: false, binds: false, denies: false };
  return connectObserver(target, n, { first, learn, refuse });
}

interface Observer<K> {
  readonly first: K;
  readonly learn: (known: K, update: XdsUpdate) => K;
  readonly refuse: (update: XdsUpdate) => readonly XdsRejection[];
}

/** The same, with something else to look at. */
export function connectObserver<K>(
  { h, controller }: Target,
  n: number,
  { first, learn: next, refuse }: Observer<K>,
): Proxy<K> {
  const seen: K[] = [];
  let known = first;
  const apply = (update: XdsUpdate): readonly XdsRejection[] => {
    known = next(known, update);
    if (JSON.stringify(known) !== JSON.stringify(seen.at(-1))) seen.push(known);
    return refuse(update);
  };
  const node = {
    id: `ztunnel~10.244.${n}.2~ztunnel-${n}.istio-system~istio-system.svc.cluster.local`,
    metadata: { NAMESPACE: "istio-system", NODE_NAME: `node-${n}` },
  };
  const running = run({ h, controller }, { token: ztunnelToken(h, n), node, apply }, [
    { typeUrl: TYPE_URL_ADDRESS, mode: "wildcard" },
    { typeUrl: TYPE_URL_AUTHORIZATION, mode: "wildcard" },
  ]);
  return { ...running, seen };
}

/** The pod of a waypoint of the shop. */
export function connectWaypoint(
  { h, controller }: Target,
  gateway: string = AUTOMATIC_WAYPOINT,
  see: (config: WaypointConfig) => void = () => undefined,
): Proxy {
  const podName = podOf(gateway);
  const token = makeToken({ sub: `system:serviceaccount:shop:${gateway}` });
  h.tokens.set(token, {
    account: `system:serviceaccount:shop:${gateway}`,
    accountUid: `uid-account-${gateway}`,
    podName,
    podUid: `uid-${podName}`,
    node: "node-1",
    audiences: ["istio-ca"],
  });
  const node = {
    id: `waypoint~10.244.1.9~${podName}.shop~shop.svc.cluster.local`,
    metadata: { NAMESPACE: "shop", NODE_NAME: "node-1" },
  };
  const apply = ({ typeUrl, resources }: XdsUpdate): readonly XdsRejection[] => {
    const configs =
      typeUrl === TYPE_URL_WAYPOINT ? resources.map(({ body }) => decodeWaypointConfig(body)) : [];
    for (const config of configs) if (config.ok) see(config.value);
    return [];
  };
  const running = run({ h, controller }, { token, node, apply }, [
    { typeUrl: TYPE_URL_ADDRESS, mode: "wildcard" },
    { typeUrl: TYPE_URL_WAYPOINT, mode: "on-demand" },
  ]);
  void running.client.demand(TYPE_URL_WAYPOINT, `shop/${gateway}`, new AbortController().signal);
  return { ...running, seen: [] };
}

interface ProxyOptions {
  readonly token: string;
  readonly node: { readonly id: string; readonly metadata: Readonly<Record<string, string>> };
  readonly apply: (update: XdsUpdate) => readonly XdsRejection[];
}

function run(
  { h, controller }: Target,
  { token, node, apply }: ProxyOptions,
  subscriptions: ConstructorParameters<typeof DeltaClient>[1]["subscriptions"],
): Omit<Proxy, "seen"> {
  const client = new DeltaClient(
    {
      log: silentLogger,
      clock: systemClock,
      readRoots: () => Promise.resolve(h.rootsPem()),
      readToken: () => Promise.resolve(token),
      apply,
    },
    {
      address: `localhost:${controller.ports().grpc}`,
      serverName: "istiod.istio-system.svc",
      clusterId: "Kubernetes",
      node: { ...node, cluster: "", buildVersion: "" },
      subscriptions,
    },
  );
  const abort = new AbortController();
  const ended = client.run(abort.signal);
  return {
    client,
    disconnect: async () => {
      abort.abort();
      await ended;
    },
  };
}

function learn(known: Known, { typeUrl, resources, removed }: XdsUpdate): Known {
  let next = known;
  for (const { name, body } of resources) {
    if (typeUrl === TYPE_URL_AUTHORIZATION && name === "shop/no-visitors") {
      const decoded = decodeAuthorization(body);
      const text = decoded.ok ? JSON.stringify(decoded.value) : "";
      next = { ...next, exempts: text.includes(`/sa/${AUTOMATIC_WAYPOINT}`) };
    }
    if (typeUrl === TYPE_URL_ADDRESS && name === CATALOG) {
      const decoded = decodeAddress(body);
      if (!decoded.ok || decoded.value.kind !== "workload") continue;
      const { waypoint, authorizationPolicies } = decoded.value.workload;
      const denies = authorizationPolicies.some((policy) => policy.includes("ambit_only_through_waypoint"));
      next = { ...next, binds: waypoint !== undefined, denies };
    }
  }
  return removed.includes(CATALOG) ? { ...next, binds: false, denies: false } : next;
}

function podOf(gateway: string): string {
  return gateway === AUTOMATIC_WAYPOINT ? WAYPOINT_POD : `${WAYPOINT_POD}-${gateway}`;
}

/** What the Deployment controller and a kubelet would do: a ready pod while there is a Deployment. */
export function runDeployment({ api }: Harness, gateway: string = AUTOMATIC_WAYPOINT): boolean {
  const deployment = api.get(DEPLOYMENTS, `shop/${gateway}`);
  const [set, ip] = gateway === AUTOMATIC_WAYPOINT ? ["wp-1", 9] : [`${gateway}-1`, 10 + gateway.length];
  if (deployment === undefined) return false;
  const uid = jsonText(jsonObject(deployment["metadata"])["uid"]);
  const labels = { [LABEL_GATEWAY_NAME]: gateway, "istio.io/dataplane-mode": "none" };
  const owner = (kind: string, name: string, of: string): object => ({
    apiVersion: "apps/v1",
    kind,
    name,
    uid: of,
    controller: true,
  });
  api.put(REPLICA_SETS, {
    metadata: {
      namespace: "shop",
      name: set,
      uid: `uid-${set}`,
      labels,
      ownerReferences: [owner("Deployment", gateway, uid)],
    },
  });
  const own = jsonObject(api.get(ROOTS.serviceAccounts, `shop/${gateway}`));
  api.put(ROOTS.serviceAccounts, {
    ...own,
    metadata: { ...jsonObject(own["metadata"]), uid: `uid-account-${gateway}` },
  });
  const metadata = { labels, ownerReferences: [owner("ReplicaSet", set, `uid-${set}`)] };
  api.put(
    ROOTS.pods,
    pod("shop", podOf(gateway), { node: "node-1", ip: `10.244.1.${ip}`, account: gateway, metadata }),
  );
  return true;
}

/** What the garbage collector does first: the pod drains, and nothing shows any more whose it is. */
export function orphanPod({ api }: Harness): void {
  api.remove(REPLICA_SETS, "shop/wp-1");
}

export function endDeployment({ api }: Harness): void {
  api.remove(ROOTS.pods, `shop/${WAYPOINT_POD}`);
}
