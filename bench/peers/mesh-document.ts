/**
 * Pure. The mesh that Ambit's rows are measured with: the two pods of the load, 98 more workloads in 20 services on ten
 * nodes, and 20 policies, of which 11 are evaluated for each of the load's connections; the last one allows them.
 */
import { ECHO_PORT, ECHO_VIP, IP_A, IP_B, SINK_PORT, SINK_VIP } from "../network/bench-network.ts";

export const BENCH_NAMESPACE = "bench";
export const CLIENT = "client";
export const SERVER = "server";
export const NODE_A = "node-a";
export const NODE_B = "node-b";
/** A pod dials its proxy's own port on the service address: what capture makes of a dial to the service. */
const OUTBOUND = "15001";
const OTHER_WORKLOADS = 98;
const OTHER_SERVICES = 20;
const POLICIES_OF_SERVER = 10;
const OTHER_POLICIES = 9;

type Document = Readonly<Record<string, unknown>>;

export function meshDocument(): Document {
  return {
    workloads: [loadWorkload(CLIENT, IP_A, NODE_A), loadWorkload(SERVER, IP_B, NODE_B), ...otherWorkloads()],
    services: [
      loadService("echo", ECHO_VIP, ECHO_PORT),
      loadService("sink", SINK_VIP, SINK_PORT),
      ...Array.from({ length: OTHER_SERVICES }, (_, i) => otherService(i)),
    ],
    policies: [...serverPolicies(), ...otherPolicies()],
  };
}

function loadWorkload(name: string, ip: string, node: string): Document {
  const services = {
    [hostKey("echo")]: { [OUTBOUND]: ECHO_PORT },
    [hostKey("sink")]: { [OUTBOUND]: SINK_PORT },
  };
  return {
    uid: `Kubernetes//Pod/${BENCH_NAMESPACE}/${name}`,
    name,
    namespace: BENCH_NAMESPACE,
    serviceAccount: name,
    workloadName: name,
    canonicalName: name,
    workloadType: "deployment",
    node,
    workloadIps: [ip],
    protocol: "HBONE",
    ...(name === SERVER ? { services } : {}),
  };
}

function loadService(name: string, vip: string, port: number): Document {
  return service(name, BENCH_NAMESPACE, vip, { [OUTBOUND]: port });
}

function otherWorkloads(): readonly Document[] {
  return Array.from({ length: OTHER_WORKLOADS }, (_, i) => ({
    uid: `Kubernetes//Pod/shop/pod-${i}`,
    name: `pod-${i}`,
    namespace: "shop",
    serviceAccount: `account-${i % OTHER_SERVICES}`,
    workloadName: `app-${i % OTHER_SERVICES}`,
    canonicalName: `app-${i % OTHER_SERVICES}`,
    workloadType: "deployment",
    node: `node-${i % 10}`,
    workloadIps: [`10.232.${Math.floor(i / 200)}.${(i % 200) + 1}`],
    protocol: "HBONE",
    services: { [`shop/app-${i % OTHER_SERVICES}.shop.svc.cluster.local`]: { "80": 8080 } },
  }));
}

function otherService(index: number): Document {
  return service(`app-${index}`, "shop", `10.233.0.${index + 1}`, { "80": 8080 });
}

function service(
  name: string,
  namespace: string,
  vip: string,
  ports: Readonly<Record<string, number>>,
): Document {
  return { name, namespace, hostname: `${name}.${namespace}.svc.cluster.local`, vips: [`/${vip}`], ports };
}

function hostKey(name: string): string {
  return `${BENCH_NAMESPACE}/${name}.${BENCH_NAMESPACE}.svc.cluster.local`;
}

/** Refusals that do not match, allowances that do not match, and the one that does, last. */
function serverPolicies(): readonly Document[] {
  const misses = Array.from({ length: POLICIES_OF_SERVER }, (_, i) =>
    policy(`other-caller-${i}`, BENCH_NAMESPACE, i % 2 === 0 ? "Deny" : "Allow", [
      { principals: [{ Exact: `cluster.local/ns/shop/sa/account-${i}` }], destinationPorts: [ECHO_PORT] },
      { sourceIps: [`10.99.${i}.0/24`] },
    ]),
  );
  const caller = { principals: [{ Exact: `cluster.local/ns/${BENCH_NAMESPACE}/sa/${CLIENT}` }] };
  return [...misses, policy("the-load", BENCH_NAMESPACE, "Allow", [caller])];
}

function otherPolicies(): readonly Document[] {
  return Array.from({ length: OTHER_POLICIES }, (_, i) =>
    policy(`shop-${i}`, "shop", "Allow", [{ namespaces: [{ Exact: "shop" }] }]),
  );
}

/** One rule; its matches are alternatives of one clause. */
function policy(
  name: string,
  namespace: string,
  action: "Allow" | "Deny",
  matches: readonly Document[],
): Document {
  return { name, namespace, scope: "Namespace", action, rules: [[matches]] };
}
