/** Pure. A policy in the form of `config_dump` back into the model. */
import type {
  Authorization,
  AuthorizationMatch,
  AuthorizationRule,
  MatchList,
  StringMatch,
} from "#core/model/authorization.ts";
import { cidr, parseCidr } from "#core/net/cidr.ts";
import { ip } from "#core/net/ip.ts";
import type { DocumentReader } from "./document-reader.ts";

const NO_BLOCK = cidr(ip("255.255.255.255"), 32);

export function readPolicy(reader: DocumentReader): Authorization {
  return {
    name: reader.field("name").text(),
    namespace: reader.field("namespace").text(),
    scope: reader
      .field("scope")
      .choice(
        { Global: "global", Namespace: "namespace", WorkloadSelector: "workload-selector" },
        "namespace",
      ),
    action: reader.field("action").choice({ Allow: "allow", Deny: "deny" }, "allow"),
    rules: reader.field("rules").items().map(readRule),
    dryRun: reader.field("dryRun").flag(),
  };
}

function readRule(reader: DocumentReader): AuthorizationRule {
  return { clauses: reader.items().map((clause) => ({ matches: clause.items().map(readMatch) })) };
}

function readMatch(reader: DocumentReader): AuthorizationMatch {
  const list = <T>(any: string, none: string, read: (item: DocumentReader) => T): MatchList<T> => ({
    any: reader.field(any).items().map(read),
    none: reader.field(none).items().map(read),
  });
  return {
    namespaces: list("namespaces", "notNamespaces", readStringMatch),
    principals: list("principals", "notPrincipals", readStringMatch),
    serviceAccounts: list("serviceAccounts", "notServiceAccounts", (item) => ({
      namespace: item.field("namespace").text(),
      serviceAccount: item.field("serviceAccount").text(),
    })),
    sourceIps: list("sourceIps", "notSourceIps", (item) => item.parsed(parseCidr, NO_BLOCK)),
    destinationIps: list("destinationIps", "notDestinationIps", (item) => item.parsed(parseCidr, NO_BLOCK)),
    destinationPorts: list("destinationPorts", "notDestinationPorts", (item) => item.number(65_535)),
  };
}

function readStringMatch(reader: DocumentReader): StringMatch {
  for (const [key, kind] of [
    ["Exact", "exact"],
    ["Prefix", "prefix"],
    ["Suffix", "suffix"],
  ] as const) {
    const value = reader.field(key);
    if (!value.isAbsent) return { kind, value: value.text() };
  }
  if (reader.field("Presence").isAbsent) reader.fail("must have one of Exact, Prefix, Suffix, Presence");
  return { kind: "presence" };
}
