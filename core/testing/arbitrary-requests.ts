/** fast-check generators of request policies and requests: small alphabets, so that policies hit. In canonical form: what a decoder can give. */
import fc from "fast-check";
import { parseTemplate } from "../authz/request/path-template.ts";
import { peerFacts, type RequestFacts } from "../authz/request/request-facts.ts";
import type { HttpField } from "../http/message.ts";
import type { MatchList, StringMatch } from "../model/authorization.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "../model/ids.ts";
import type {
  ConditionMatch,
  OperationMatch,
  PathMatch,
  RequestPolicy,
  RequestRule,
  SourceMatch,
} from "../model/request-policy.ts";
import type { WaypointConfig } from "../model/waypoint-config.ts";
import {
  arbitraryCidr,
  arbitraryIdentity,
  arbitraryIp,
  arbitraryPort,
  matchList,
  namespaceMatch,
  principalMatch,
  record,
} from "./arbitraries.ts";

function text(...values: readonly string[]): fc.Arbitrary<StringMatch> {
  return fc.oneof(
    record({
      kind: fc.constantFrom("exact" as const, "prefix" as const, "suffix" as const),
      value: fc.constantFrom(...values),
    }),
    fc.constant({ kind: "presence" as const }),
  );
}

const template: fc.Arbitrary<PathMatch> = fc
  .constantFrom("/items/{*}", "/items/{**}", "/{*}/price", "/{**}/price", "/items/{*}.json", "/{*}/{**}")
  .map((pattern) => {
    const segments = parseTemplate(pattern);
    if (!segments.ok) throw new Error(pattern);
    return { kind: "template", segments: segments.value };
  });
const pathMatch = fc.oneof(text("/", "/items", "/items/7", "/admin", ".json", "price"), template);

const NOTHING = { any: [], none: [] } as const;
const says = (match: object): boolean =>
  Object.values(match).some((list: MatchList<unknown>) => list.any.length + list.none.length > 0);

const sourceMatch: fc.Arbitrary<SourceMatch> = record<SourceMatch>({
  principals: matchList(principalMatch),
  namespaces: matchList(namespaceMatch),
  serviceAccounts: matchList(
    record({
      namespace: fc.constantFrom("a", "b", "web"),
      serviceAccount: fc.constantFrom("a", "b", "default"),
    }),
  ),
  sourceIps: matchList(arbitraryCidr),
}).filter(says);

const operationMatch: fc.Arbitrary<OperationMatch> = record<OperationMatch>({
  hosts: matchList(text("shop.test", "SHOP.test", "shop.test:8080", ".test", "admin", "[::1]")),
  methods: matchList(text("GET", "POST", "P", "T")),
  paths: matchList(pathMatch),
  ports: matchList(arbitraryPort),
}).filter(says);

const l4Operation: fc.Arbitrary<OperationMatch> = matchList(arbitraryPort)
  .map((ports) => ({ hosts: NOTHING, methods: NOTHING, paths: NOTHING, ports }))
  .filter(says);

const listed = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<MatchList<T>> =>
  matchList(item).filter(({ any, none }) => any.length + none.length > 0);

const l4Condition: fc.Arbitrary<ConditionMatch> = fc.oneof(
  record({ kind: fc.constant("source" as const), match: sourceMatch }),
  record({ kind: fc.constant("destination-ip" as const), values: listed(arbitraryCidr) }),
  record({ kind: fc.constant("destination-port" as const), values: listed(arbitraryPort) }),
);
const condition: fc.Arbitrary<ConditionMatch> = fc.oneof(
  l4Condition,
  record({
    kind: fc.constant("header" as const),
    name: fc.constantFrom("x-user", "x-role", "host"),
    values: listed(text("good", "bad", "a", "b", "good,bad")),
  }),
);

function policies(
  operation: fc.Arbitrary<OperationMatch>,
  when: fc.Arbitrary<ConditionMatch>,
): fc.Arbitrary<RequestPolicy> {
  return record({
    key: fc.constantFrom("a/p1", "a/p2", "b/p1", "istio-system/p3").map((key) => key as PolicyKey),
    action: fc.constantFrom("allow" as const, "deny" as const, "audit" as const),
    dryRun: fc.oneof({ arbitrary: fc.constant(false), weight: 4 }, fc.constant(true)),
    rules: fc.array(
      record<RequestRule>({
        from: fc.array(sourceMatch, { maxLength: 2 }),
        to: fc.array(operation, { maxLength: 2 }),
        when: fc.array(when, { maxLength: 2 }),
      }),
      { maxLength: 3 },
    ),
  });
}

export const arbitraryRequestPolicy = policies(operationMatch, condition);
/** Without any field of HTTP. */
export const arbitraryL4RequestPolicy = policies(l4Operation, l4Condition);

const field: fc.Arbitrary<HttpField> = record({
  name: fc.constantFrom("x-user", "x-role", "accept"),
  value: fc.constantFrom("good", "bad", "a", "b", ""),
});

export const arbitraryRequest: fc.Arbitrary<RequestFacts & { readonly http: object }> = record({
  peer: fc
    .tuple(fc.option(arbitraryIdentity, { nil: undefined, freq: 3 }), arbitraryIp)
    .map(([identity, ip]) => peerFacts(identity, ip)),
  destination: record({ ip: arbitraryIp, port: arbitraryPort }),
  http: record({
    method: fc.constantFrom("GET", "POST", "PATCH", "DELETE"),
    path: fc.constantFrom("/", "/items", "/items/7", "/items/7.json", "/items/7/price", "/admin", "*"),
    authority: fc.constantFrom(
      ..."shop.test SHOP.test shop.test. shop.test:8080 shop.test.:8080 admin [::1]:80".split(" "),
    ),
    fields: fc.array(field, { maxLength: 3 }),
  }),
});

const keys = fc.uniqueArray(fc.constantFrom("a/p1", "a/p2", "b/p1", "gone/gone"), { maxLength: 3 });

export const arbitraryWaypointConfig: fc.Arbitrary<WaypointConfig> = record<WaypointConfig>({
  name: fc.constantFrom("shop/ambit-waypoint", "a/w"),
  automatic: fc.boolean(),
  clientCertField: fc.boolean(),
  pathNormalization: fc.constantFrom("none", "base", "merge-slashes", "decode-and-merge-slashes"),
  services: fc.uniqueArray(
    record({
      service: fc.constantFrom("shop/a.shop.svc", "shop/zürich").map((name) => name as ServiceKey),
      policies: keys.map((names) => names as PolicyKey[]),
    }),
    { selector: ({ service }) => service, maxLength: 2 },
  ),
  workloads: fc.uniqueArray(
    record({
      workload: fc.constantFrom("K//Pod/shop/a", "K//Pod/shop/b").map((name) => name as WorkloadUid),
      policies: keys.map((names) => names as PolicyKey[]),
    }),
    { selector: ({ workload }) => workload, maxLength: 2 },
  ),
  policies: fc.uniqueArray(arbitraryRequestPolicy, { selector: ({ key }) => key, maxLength: 4 }),
});
