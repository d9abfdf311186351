/**
 * Policies in, what a waypoint judges by and every problem out: `testdata/request/<case>.in.yaml` and `.out.yaml`. UPDATE_GOLDEN=1 rewrites the
 * outputs. Whatever comes out survives the wire.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import { jsonObject, jsonText, jsonTextRecord } from "#core/k8s/json-read.ts";
import type { MatchList } from "#core/model/authorization.ts";
import type { PathMatch, RequestPolicy } from "#core/model/request-policy.ts";
import { type Cidr, formatCidr } from "#core/net/cidr.ts";
import { decodeWaypointConfig, encodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import { aPolicyObject } from "../test/a-policy.ts";
import { testMeshConfig } from "../test/builders.ts";
import { l7Fields } from "./l7-fields.ts";
import { translateRequestPolicy } from "./request-policy.ts";

const folder = new URL("testdata/request/", import.meta.url);
const cases = readdirSync(folder)
  .filter((name) => name.endsWith(".in.yaml"))
  .map((name) => name.slice(0, -".in.yaml".length));

function overTheWire(policy: RequestPolicy): RequestPolicy {
  const config = {
    name: "n",
    automatic: true,
    pathNormalization: "base",
    clientCertField: false,
    services: [],
    workloads: [],
  } as const;
  const decoded = decodeWaypointConfig(encodeWaypointConfig({ ...config, policies: [policy] }));
  assert.ok(decoded.ok, JSON.stringify(decoded));
  assert.deepEqual(decoded.value.policies, [policy]);
  return policy;
}

/** Lists as `+value` and `-value`, without what is not asked. */
function brief(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(brief);
  if (typeof value !== "object" || value === null) return value;
  if ("any" in value && "none" in value) {
    const { any, none } = value as MatchList<unknown>;
    return [...any.map((item) => `+${word(item)}`), ...none.map((item) => `-${word(item)}`)];
  }
  const kept = Object.entries(value).map(([key, item]) => [key, brief(item)] as const);
  return Object.fromEntries(kept.filter(([, item]) => !(Array.isArray(item) && item.length === 0)));
}

function word(item: unknown): string {
  if (typeof item !== "object" || item === null) return String(item);
  if ("address" in item) return formatCidr(item as Cidr);
  if ("serviceAccount" in item && "namespace" in item) return `${item.namespace}/${item.serviceAccount}`;
  const match = item as PathMatch;
  if (match.kind === "presence") return "presence";
  if (match.kind !== "template") return `${match.kind} ${match.value}`;
  const parts = match.segments.map((part) => (part.kind === "literal" ? part.text : `<${part.kind}>`));
  return `template ${parts.join("")}`;
}

function render(text: string): string {
  const documents = parseAllDocuments(text).map((document) => {
    const { metadata, spec } = jsonObject(document.toJS());
    const { name, annotations } = jsonObject(metadata);
    const policy = aPolicyObject(spec, { name: jsonText(name), annotations: jsonTextRecord(annotations) });
    const translated = translateRequestPolicy(policy, testMeshConfig);
    return {
      policy: translated.policy === undefined ? null : brief(overTheWire(translated.policy)),
      l7Fields: l7Fields(policy).map(({ path, enforced }) => `${path}${enforced ? "" : " (not enforced)"}`),
      problems: translated.problems.map((p) => `${p.path}: ${p.reason}: ${p.message}`),
      notes: translated.notes.map((note) => `${note.path} ${note.message}`),
    };
  });
  return documents.map((document) => stringify(document, { lineWidth: 0 })).join("---\n");
}

for (const name of cases) {
  test(`golden ${name}`, () => {
    const target = new URL(`${name}.out.yaml`, folder);
    const got = render(readFileSync(new URL(`${name}.in.yaml`, folder), "utf8"));
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(target, got);
    assert.equal(got, readFileSync(target, "utf8"));
  });
}

test("the goldens are there", () => assert.ok(cases.length >= 8, `${cases.length}`));
