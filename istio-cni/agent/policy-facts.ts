/** Pure. The facts of a policy that decide whether it covers a pod; read leniently, since admission was strict. */
import type { CoveringPolicy, MtlsMode } from "#core/authz/covers.ts";
import { jsonList, jsonObject, jsonText, jsonTextRecord } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";

const ACTIONS = { ALLOW: "ALLOW", DENY: "DENY", AUDIT: "AUDIT", CUSTOM: "CUSTOM" } as const;
const MODES: readonly string[] = ["UNSET", "DISABLE", "PERMISSIVE", "STRICT"];

export function authorizationFacts(object: CustomObject): CoveringPolicy {
  const spec = jsonObject(object.spec);
  const action = jsonText(spec["action"]);
  return {
    kind: "AuthorizationPolicy",
    ...common(object),
    action: action in ACTIONS ? ACTIONS[action as keyof typeof ACTIONS] : "ALLOW",
    ruleCount: jsonList(spec["rules"]).length,
    hasTargets: spec["targetRef"] !== undefined || jsonList(spec["targetRefs"]).length > 0,
    dryRun: object.metadata.annotations["istio.io/dry-run"] === "true",
  };
}

export function peerAuthenticationFacts(object: CustomObject): CoveringPolicy {
  const spec = jsonObject(object.spec);
  const ports = Object.entries(jsonObject(spec["portLevelMtls"]));
  return {
    kind: "PeerAuthentication",
    ...common(object),
    mode: mode(jsonObject(spec["mtls"])["mode"]),
    portModes: new Map(ports.map(([port, value]) => [Number(port), mode(jsonObject(value)["mode"])])),
  };
}

function common(object: CustomObject): Pick<CoveringPolicy, "namespace" | "name" | "selector" | "createdMs"> {
  const selector = jsonObject(object.spec)["selector"];
  const { namespace, name, creationMs } = object.metadata;
  const labels = selector === undefined ? undefined : jsonTextRecord(jsonObject(selector)["matchLabels"]);
  return { namespace, name, selector: labels, createdMs: creationMs };
}

function mode(value: unknown): MtlsMode {
  return MODES.includes(jsonText(value)) ? (value as MtlsMode) : "UNSET";
}
