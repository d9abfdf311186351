/**
 * Pure. A ztunnel's `/config_dump`: the parts that the tables show, beside the JSON as it came (for `-o json`).
 * Lists and maps are both accepted, letter case of keys does not matter, unknown fields are kept.
 */
import { parsed, problem, type Parsed } from "#core/base/parse-result.ts";
import { jsonObject, type JsonObject } from "#core/k8s/json-read.ts";
import { field, objectField, objectsField, textField, textsField } from "./json-fields.ts";

export interface DumpedWorkload {
  readonly raw: JsonObject;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly hostname: string;
  /** `network/ip` or `namespace/hostname`; empty if none. */
  readonly waypoint: string;
  readonly protocol: string;
}

export interface DumpedService {
  readonly raw: JsonObject;
  readonly namespace: string;
  readonly name: string;
  readonly hostname: string;
  /** `network/ip`, the network may be empty. */
  readonly vips: readonly string[];
  readonly waypoint: string;
  readonly healthyEndpoints: number;
  readonly endpoints: number;
}

export interface DumpedPolicy {
  readonly raw: JsonObject;
  readonly namespace: string;
  readonly name: string;
  readonly action: string;
  readonly scope: string;
}

export interface DumpedCertificate {
  readonly raw: JsonObject;
  readonly identity: string;
  readonly state: string;
  readonly chain: readonly CertificateFacts[];
  readonly roots: readonly CertificateFacts[];
}

export interface CertificateFacts {
  /** Decimal. */
  readonly serialNumber: string;
  /** RFC 3339. */
  readonly validFrom: string;
  readonly expirationTime: string;
}

interface DumpedConnection {
  readonly source: string;
  readonly originalDestination: string;
  readonly actualDestination: string;
  readonly protocol: string;
}

/** Connections of one pod. */
export interface DumpedPodState {
  readonly raw: JsonObject;
  readonly namespace: string;
  readonly name: string;
  readonly inbound: readonly DumpedConnection[];
  readonly outbound: readonly DumpedConnection[];
}

export interface ZtunnelDump {
  readonly raw: JsonObject;
  readonly workloads: readonly DumpedWorkload[];
  readonly services: readonly DumpedService[];
  readonly policies: readonly DumpedPolicy[];
  readonly certificates: readonly DumpedCertificate[];
  readonly pods: readonly DumpedPodState[];
}

const SECTIONS = ["workloads", "services", "policies", "certificates", "workloadState"];

export function parseZtunnelDump(text: string): Parsed<ZtunnelDump> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return problem("", "is not JSON");
  }
  const raw = jsonObject(json);
  if (SECTIONS.every((name) => field(raw, name) === undefined))
    return problem("", `is not a ztunnel's configuration dump: it has none of ${SECTIONS.join(", ")}`);
  return parsed({
    raw,
    workloads: objectsField(raw, "workloads").map(workload),
    services: objectsField(raw, "services").map(service),
    policies: objectsField(raw, "policies").map(policy),
    certificates: objectsField(raw, "certificates").map(certificate),
    pods: objectsField(raw, "workloadState").map(podState),
  });
}

function workload(raw: JsonObject): DumpedWorkload {
  return {
    raw,
    namespace: textField(raw, "namespace"),
    name: textField(raw, "name"),
    node: textField(raw, "node"),
    ips: textsField(raw, "workloadIps"),
    hostname: textField(raw, "hostname"),
    waypoint: textField(objectField(raw, "waypoint"), "destination"),
    protocol: textField(raw, "protocol"),
  };
}

function service(raw: JsonObject): DumpedService {
  const endpoints = objectsField(raw, "endpoints");
  const unhealthy = endpoints.filter(
    (endpoint) => textField(endpoint, "status").toLowerCase() === "unhealthy",
  );
  return {
    raw,
    namespace: textField(raw, "namespace"),
    name: textField(raw, "name"),
    hostname: textField(raw, "hostname"),
    vips: textsField(raw, "vips"),
    waypoint: textField(objectField(raw, "waypoint"), "destination"),
    healthyEndpoints: endpoints.length - unhealthy.length,
    endpoints: endpoints.length,
  };
}

function policy(raw: JsonObject): DumpedPolicy {
  return {
    raw,
    namespace: textField(raw, "namespace"),
    name: textField(raw, "name"),
    action: textField(raw, "action"),
    scope: textField(raw, "scope"),
  };
}

function certificate(raw: JsonObject): DumpedCertificate {
  return {
    raw,
    identity: textField(raw, "identity"),
    state: textField(raw, "state"),
    chain: objectsField(raw, "certChain").map(certificateFacts),
    roots: objectsField(raw, "rootCerts").map(certificateFacts),
  };
}

function certificateFacts(raw: JsonObject): CertificateFacts {
  return {
    serialNumber: textField(raw, "serialNumber"),
    validFrom: textField(raw, "validFrom"),
    expirationTime: textField(raw, "expirationTime"),
  };
}

function podState(raw: JsonObject): DumpedPodState {
  const info = objectField(raw, "info");
  const connections = objectField(raw, "connections");
  return {
    raw,
    namespace: textField(info, "namespace"),
    name: textField(info, "name"),
    inbound: objectsField(connections, "inbound").map(connection),
    outbound: objectsField(connections, "outbound").map(connection),
  };
}

function connection(raw: JsonObject): DumpedConnection {
  return {
    source: textField(raw, "src"),
    originalDestination: textField(raw, "originalDst"),
    actualDestination: textField(raw, "actualDst"),
    protocol: textField(raw, "protocol"),
  };
}
