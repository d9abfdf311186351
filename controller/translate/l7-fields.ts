/** Pure. Which fields of an AuthorizationPolicy speak of requests, so that a connection alone cannot answer them: the reasons for a waypoint. */
import { type JsonObject, jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { CustomObject } from "#core/k8s/object-types.ts";
import { roleOf } from "#core/http/field-roles.ts";

export interface L7Field {
  /** `spec.rules[0].to[0].operation.methods`. */
  readonly path: string;
  /** Whether a waypoint can judge it. If not, it is reported, and its rule allows nothing or denies as if it were met. */
  readonly enforced: boolean;
}

export type ConditionKey =
  /** Of the connection: ztunnels judge it too. */
  | { readonly kind: "connection" }
  | { readonly kind: "remote-ip" }
  /** `name` in lower case. */
  | { readonly kind: "header"; readonly name: string }
  /** Of a request, but nobody here can read it. */
  | { readonly kind: "unread" }
  | { readonly kind: "unknown" };

const CONNECTION_KEYS: ReadonlySet<string> = new Set([
  "source.ip",
  "source.namespace",
  "source.principal",
  "destination.ip",
  "destination.port",
]);
const HEADER_KEY = /^request\.headers\[([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}|:authority)\]$/;

const L7_SOURCE: ReadonlyMap<string, boolean> = new Map([
  ["remoteIpBlocks", true],
  ["notRemoteIpBlocks", true],
  ["requestPrincipals", false],
  ["notRequestPrincipals", false],
]);
const L7_OPERATION: ReadonlyMap<string, boolean> = new Map(
  ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"].map((field) => [field, true]),
);

/** In the order of the policy. Empty: ztunnels enforce all of it, or nobody enforces any of it. */
export function l7Fields(policy: CustomObject): readonly L7Field[] {
  const { action = "ALLOW" } = jsonObject(policy.spec);
  return action === "ALLOW" || action === "DENY" || action === "AUDIT" ? fieldsOfRules(policy) : [];
}

function fieldsOfRules(policy: CustomObject): readonly L7Field[] {
  return jsonList(jsonObject(policy.spec)["rules"]).flatMap((raw, i) => {
    const rule = jsonObject(raw);
    const path = `spec.rules[${i}]`;
    return [
      ...entries(rule, "from").flatMap(([entry, j]) =>
        given(entry["source"], L7_SOURCE, `${path}.from[${j}].source`),
      ),
      ...entries(rule, "to").flatMap(([entry, j]) =>
        given(entry["operation"], L7_OPERATION, `${path}.to[${j}].operation`),
      ),
      ...entries(rule, "when").flatMap(([entry, j]) => whenField(entry, `${path}.when[${j}].key`)),
    ];
  });
}

function entries(rule: JsonObject, field: string): readonly (readonly [JsonObject, number])[] {
  return jsonList(rule[field]).map((entry, i) => [jsonObject(entry), i]);
}

function given(raw: unknown, known: ReadonlyMap<string, boolean>, path: string): readonly L7Field[] {
  return Object.entries(jsonObject(raw)).flatMap(([field, values]) => {
    const enforced = known.get(field);
    return enforced === undefined || jsonList(values).length === 0
      ? []
      : [{ path: `${path}.${field}`, enforced }];
  });
}

function whenField({ key }: JsonObject, path: string): readonly L7Field[] {
  const { kind } = conditionKey(jsonText(key));
  if (kind === "connection" || kind === "unknown") return [];
  return [{ path, enforced: kind !== "unread" }];
}

export function conditionKey(key: string): ConditionKey {
  if (CONNECTION_KEYS.has(key)) return { kind: "connection" };
  if (key === "remote.ip") return { kind: "remote-ip" };
  const name = HEADER_KEY.exec(key)?.[1]?.toLowerCase();
  if (name !== undefined) return headerKey(name === ":authority" ? "host" : name);
  return key.startsWith("request.") ? { kind: "unread" } : { kind: "unknown" };
}

/** What neighbours tell each other about the connection is gone before policies are asked. */
function headerKey(name: string): ConditionKey {
  const role = roleOf(name);
  const readable = role === undefined || role === "plain" || role === "single" || role === "host";
  return readable ? { kind: "header", name } : { kind: "unread" };
}
