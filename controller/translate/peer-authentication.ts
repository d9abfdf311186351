/**
 * Pure. PeerAuthentication to DENY policies for plaintext. Modes inherit mesh -> namespace -> workload, the oldest
 * policy wins at every level, UNSET asks the level above. PERMISSIVE and DISABLE mean the same to ztunnel: not strict.
 */
import { jsonObject, jsonTextRecord } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import {
  type Authorization,
  type AuthorizationMatch,
  type AuthorizationRule,
  EMPTY_MATCH,
} from "#core/model/authorization.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { Report } from "./policy-report.ts";
import type { TranslationProblem } from "./problem.ts";

export type MtlsMode = "unset" | "open" | "strict";

export interface PeerAuthentication {
  readonly namespace: string;
  readonly name: string;
  readonly creationMs: number;
  readonly generation: number;
  /** Undefined (also when it names no label): the whole namespace, or the mesh in the root namespace. */
  readonly selector: Readonly<Record<string, string>> | undefined;
  readonly mode: MtlsMode;
  /** Ports with a mode of their own (never `unset`), as the application sees them, ascending. */
  readonly ports: ReadonlyMap<number, Exclude<MtlsMode, "unset">>;
  /** False when nothing of it has an effect. */
  readonly inForce: boolean;
  readonly problems: readonly TranslationProblem[];
}

/** How strictness reaches a workload: not at all, by the one policy of the mesh, or by one made for its ports. */
export type StrictnessChoice =
  | { readonly kind: "none" }
  | { readonly kind: "static" }
  | {
      readonly kind: "converted";
      /** Whether all ports but `ports` are strict, or only `ports`. */
      readonly base: "strict-except" | "open-except";
      readonly ports: readonly number[];
    };

/** Underscores cannot occur in names that users give. */
export const STATIC_STRICT_NAME = "istio_converted_static_strict";

export function convertedName(policyName: string): string {
  return `converted_peer_authentication_${policyName}`;
}

export function readPeerAuthentication(object: CustomObject, mesh: MeshConfig): PeerAuthentication {
  const report = new Report("PeerAuthentication", object);
  const spec = jsonObject(object.spec);
  report.unknownFields(spec, new Set(["selector", "mtls", "portLevelMtls"]), "spec");
  const selector = spec["selector"];
  const labels = readSelector(selector, report);
  const ports = readPorts(spec["portLevelMtls"], report);
  const { namespace, name, generation, creationMs } = object.metadata;
  const inForce = labels === undefined || namespace !== mesh.rootNamespace;
  if (!inForce) {
    report.unsupported("spec.selector", "has no effect in the root namespace: the policy is ignored");
  }
  if (labels === undefined && ports.size > 0) {
    report.unsupported("spec.portLevelMtls", "has no effect without a selector");
  }
  const mode = readMode(jsonObject(spec["mtls"])["mode"], "spec.mtls.mode", report);
  const head = { namespace, name, generation, creationMs };
  return { ...head, selector: labels, mode, ports, inForce, problems: report.problems };
}

function readSelector(raw: unknown, report: Report): PeerAuthentication["selector"] {
  if (raw === undefined || raw === null) return undefined;
  const selector = jsonObject(raw);
  report.unknownFields(selector, new Set(["matchLabels"]), "spec.selector");
  const labels = jsonTextRecord(selector["matchLabels"]);
  return Object.keys(labels).length === 0 ? undefined : labels;
}

function readPorts(raw: unknown, report: Report): PeerAuthentication["ports"] {
  const ports: [number, "open" | "strict"][] = [];
  for (const [text, value] of Object.entries(jsonObject(raw))) {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
    const mode = readMode(jsonObject(value)["mode"], `spec.portLevelMtls.${text}.mode`, report);
    if (port < 1 || port > 65_535) report.invalid(`spec.portLevelMtls.${text}`, "is not a port");
    else if (mode !== "unset") ports.push([port, mode]);
  }
  return new Map(ports.toSorted(([a], [b]) => a - b));
}

/** What is not known counts as strict: a misspelt mode must not open a workload. */
function readMode(raw: unknown, path: string, report: Report): MtlsMode {
  switch (raw ?? "UNSET") {
    case "UNSET":
      return "unset";
    case "DISABLE":
      report.unsupported(path, "DISABLE means PERMISSIVE: mTLS between enrolled pods cannot be turned off");
      return "open";
    case "PERMISSIVE":
      return "open";
    case "STRICT":
      return "strict";
    default:
      report.invalid(path, `${JSON.stringify(raw)} is not a mode; STRICT is assumed`);
      return "strict";
  }
}

/** The oldest wins; equal ages are decided by name, so that every replica agrees. */
export function oldest(policies: readonly PeerAuthentication[]): PeerAuthentication | undefined {
  return policies.toSorted((a, b) => a.creationMs - b.creationMs || (a.name < b.name ? -1 : 1))[0];
}

/** Whether a namespace is strict before any workload policy: its own mode, else the mesh's. */
export function parentIsStrict(
  meshWide: readonly PeerAuthentication[],
  namespaceWide: readonly PeerAuthentication[],
): boolean {
  const own = oldest(namespaceWide)?.mode ?? "unset";
  return (own === "unset" ? (oldest(meshWide)?.mode ?? "unset") : own) === "strict";
}

/** The matrix: the workload's own policy (oldest matching one, if any) under its parent. */
export function chooseStrictness(
  own: Pick<PeerAuthentication, "mode" | "ports"> | undefined,
  parentStrict: boolean,
): StrictnessChoice {
  const mode = own?.mode ?? "unset";
  const strict = mode === "unset" ? parentStrict : mode === "strict";
  const exceptions = [...(own?.ports ?? [])].filter(([, m]) => (m === "strict") !== strict).map(([p]) => p);
  if (exceptions.length === 0) return { kind: strict ? "static" : "none" };
  return { kind: "converted", base: strict ? "strict-except" : "open-except", ports: exceptions };
}

const ANONYMOUS: AuthorizationMatch = {
  ...EMPTY_MATCH,
  principals: { any: [], none: [{ kind: "presence" }] },
};

/** Refuses every connection without an identity. */
export function staticStrictPolicy(mesh: MeshConfig): Authorization {
  return denyPolicy(mesh.rootNamespace, STATIC_STRICT_NAME, [{ clauses: [{ matches: [ANONYMOUS] }] }]);
}

/** The policy for a PeerAuthentication with port exceptions; undefined when none is needed. */
export function convertedPolicy(own: PeerAuthentication, parentStrict: boolean): Authorization | undefined {
  const choice = chooseStrictness(own, parentStrict);
  if (choice.kind !== "converted") return undefined;
  const rules =
    choice.base === "strict-except"
      ? [strictExcept(choice.ports)]
      : choice.ports.map((port) => strictOnly(port));
  return denyPolicy(own.namespace, convertedName(own.name), rules);
}

function strictExcept(ports: readonly number[]): AuthorizationRule {
  const exempt = ports.map((port) => ({
    matches: [{ ...EMPTY_MATCH, destinationPorts: { any: [], none: [port] } }],
  }));
  return { clauses: [{ matches: [ANONYMOUS] }, ...exempt] };
}

function strictOnly(port: number): AuthorizationRule {
  return { clauses: [{ matches: [{ ...ANONYMOUS, destinationPorts: { any: [port], none: [] } }] }] };
}

function denyPolicy(namespace: string, name: string, rules: readonly AuthorizationRule[]): Authorization {
  return { name, namespace, scope: "workload-selector", action: "deny", rules, dryRun: false };
}
