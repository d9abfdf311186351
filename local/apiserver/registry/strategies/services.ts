/** Services: defaults, port rules, allocation of cluster addresses and node ports. */
import { createHash } from "node:crypto";
import type { V1Service, V1ServiceSpec } from "@kubernetes/client-node";
import { parseCidr } from "#core/net/cidr.ts";
import { formatIp, ipToBytes } from "#core/net/ip.ts";
import { duplicateValue, type FieldProblem, invalidValue, required } from "../../http/status-error.ts";
import type { ApiObject } from "../../object.ts";
import type { ObjectStore } from "../../store/object-store.ts";
import { fillIn } from "../fill-in.ts";
import type { Strategy, StrategyContext } from "../strategy.ts";

const specOf = (object: ApiObject | undefined): V1ServiceSpec =>
  (object as unknown as V1Service | undefined)?.spec ?? {};
const FIRST_NODE_PORT = 30000;
const LAST_NODE_PORT = 32767;
const HEADLESS = "None";

export const serviceStrategy: Strategy = {
  statusTakesMetadata: true,
  defaults: (object) => {
    const { spec } = object as unknown as V1Service;
    if (spec !== undefined) defaultSpec(spec);
  },
  onCreate: (object) => {
    object.status = { loadBalancer: {} };
  },
  onUpdate: (next, old) => {
    const spec = specOf(next);
    const before = specOf(old);
    if (spec.type === "ExternalName" || before.clusterIP === undefined) return;
    spec.clusterIP ??= before.clusterIP;
    spec.clusterIPs ??= before.clusterIPs ?? [];
    spec.ipFamilies ??= before.ipFamilies ?? [];
    if (before.ipFamilyPolicy !== undefined) spec.ipFamilyPolicy ??= before.ipFamilyPolicy;
    keepNodePorts(spec, before);
  },
  validate: (object, old) => {
    const { spec } = object as unknown as V1Service;
    return spec === undefined
      ? [required("spec")]
      : [...portProblems(spec), ...addressProblems(spec, specOf(old))];
  },
  allocate: (object, old, context) => {
    const { spec } = object as unknown as V1Service;
    if (spec === undefined || spec.type === "ExternalName") return [];
    const problems = allocateAddresses(spec, old === undefined ? object : undefined, context);
    allocateNodePorts(spec, context.store);
    return problems;
  },
};

function defaultSpec(spec: V1ServiceSpec): void {
  fillIn(spec, { type: "ClusterIP", sessionAffinity: "None" });
  for (const port of spec.ports ?? []) {
    port.protocol ??= "TCP";
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "")
      port.targetPort = port.port;
  }
  if (spec.type !== "ExternalName") fillIn(spec, { internalTrafficPolicy: "Cluster" });
  if (spec.type === "LoadBalancer") fillIn(spec, { allocateLoadBalancerNodePorts: true });
  if (spec.type === "LoadBalancer" || spec.type === "NodePort")
    fillIn(spec, { externalTrafficPolicy: "Cluster" });
}

/** A merge patch or apply that leaves the port number out keeps the one that was allocated. */
function keepNodePorts(spec: V1ServiceSpec, before: V1ServiceSpec): void {
  if (spec.type !== "NodePort" && spec.type !== "LoadBalancer") return;
  for (const port of spec.ports ?? []) {
    const same = (before.ports ?? []).find(
      (other) => other.port === port.port && other.protocol === port.protocol,
    );
    if (same?.nodePort !== undefined) port.nodePort ??= same.nodePort;
  }
}

function portProblems(spec: V1ServiceSpec): FieldProblem[] {
  const ports = spec.ports ?? [];
  const problems: FieldProblem[] = [];
  if (ports.length === 0 && spec.type !== "ExternalName" && spec.clusterIP !== HEADLESS)
    problems.push(required("spec.ports"));
  const names = new Set<string>();
  const pairs = new Set<string>();
  ports.forEach((port, i) => {
    const at = `spec.ports[${i}]`;
    const name = port.name ?? "";
    if (name === "" && ports.length > 1) problems.push(required(`${at}.name`));
    if (name !== "" && names.has(name)) problems.push(duplicateValue(`${at}.name`, name));
    names.add(name);
    if (!Number.isInteger(port.port) || port.port < 1 || port.port > 65535) {
      problems.push(invalidValue(`${at}.port`, port.port, "must be between 1 and 65535, inclusive"));
    }
    const pair = `${port.port}/${port.protocol}`;
    if (pairs.has(pair)) problems.push(duplicateValue(at, { port: port.port, protocol: port.protocol }));
    pairs.add(pair);
  });
  return problems;
}

function addressProblems(spec: V1ServiceSpec, before: V1ServiceSpec): FieldProblem[] {
  const first = before.clusterIP;
  if (first === undefined || spec.type === "ExternalName" || spec.clusterIP === first) return [];
  return [invalidValue("spec.clusterIPs[0]", [spec.clusterIP], "may not change once set")];
}

/** `created` is the new service; undefined on updates, which keep their addresses. */
function allocateAddresses(
  spec: V1ServiceSpec,
  created: ApiObject | undefined,
  context: StrategyContext,
): FieldProblem[] {
  const second = context.serviceCidrV6;
  spec.ipFamilyPolicy ??= second === undefined ? "SingleStack" : "PreferDualStack";
  const dual = second !== undefined && spec.ipFamilyPolicy !== "SingleStack";
  spec.ipFamilies ??= dual ? ["IPv4", "IPv6"] : ["IPv4"];
  if (spec.clusterIP === HEADLESS) {
    spec.clusterIPs = [HEADLESS];
    return [];
  }
  if (created === undefined && spec.clusterIP !== undefined) return [];
  return takeAddresses(spec, created, { context, dual });
}

interface AddressChoice {
  readonly context: StrategyContext;
  readonly dual: boolean;
}

function takeAddresses(
  spec: V1ServiceSpec,
  created: ApiObject | undefined,
  { context, dual }: AddressChoice,
): FieldProblem[] {
  const used = new Set(context.store.list("services").flatMap((service) => specOf(service).clusterIPs ?? []));
  const wanted = spec.clusterIP;
  if (wanted !== undefined && used.has(wanted)) {
    const why = `failed to allocate IP ${wanted}: provided IP is already allocated`;
    return [invalidValue("spec.clusterIPs", [wanted], why)];
  }
  const seed = `${created?.metadata.namespace}/${created?.metadata.name}`;
  const address = wanted ?? freeAddress(context.serviceCidr, seed, used);
  if (address === undefined)
    return [invalidValue("spec.clusterIPs", [], "failed to allocate IP: range is full")];
  const second = dual ? freeAddress(context.serviceCidrV6 ?? "", seed, used) : undefined;
  fillIn(spec, { clusterIP: address, clusterIPs: second === undefined ? [address] : [address, second] });
  return [];
}

const TRIES = 70_000;
const RESERVED_ADDRESSES = 20; // the first ones are given out by hand (kubernetes, DNS)

/** A free address that a service of the same name tends to get again. */
function freeAddress(block: string, seed: string, used: ReadonlySet<string>): string | undefined {
  const cidr = parseCidr(block);
  if (!cidr.ok) return undefined;
  const base = ipToBytes(cidr.value.address);
  const hostBits = Math.min(16, base.length * 8 - cidr.value.prefixLength);
  const size = 2 ** hostBits - 2;
  const start = createHash("sha256").update(seed).digest().readUInt32BE(0) % size;
  for (let i = 0; i < Math.min(size, TRIES); i += 1) {
    const offset = 1 + ((start + i) % size);
    if (offset <= RESERVED_ADDRESSES && size > 2 * RESERVED_ADDRESSES) continue;
    const bytes = Uint8Array.from(base);
    bytes[base.length - 1] = (bytes[base.length - 1] ?? 0) | (offset & 0xff);
    bytes[base.length - 2] = (bytes[base.length - 2] ?? 0) | (offset >> 8);
    const text = formatIp(bytes);
    if (!used.has(text)) return text;
  }
  return undefined;
}

function allocateNodePorts(spec: V1ServiceSpec, store: ObjectStore): void {
  if (
    spec.type !== "NodePort" &&
    !(spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false)
  )
    return;
  const used = new Set(
    store.list("services").flatMap((service) => (specOf(service).ports ?? []).map((port) => port.nodePort)),
  );
  let next = FIRST_NODE_PORT;
  for (const port of spec.ports ?? []) {
    if (port.nodePort !== undefined) continue;
    while (used.has(next) && next < LAST_NODE_PORT) next += 1;
    port.nodePort = next;
    used.add(next);
  }
}
