/** The authorization vectors: policies as users write them, through translation, head checks, normalisation and judgement. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { evaluateRequest, evaluateUndeclaredHttp } from "#core/authz/request/evaluate-request.ts";
import { compileRequestPolicies, type RequestPolicySet } from "#core/authz/request/policy-sets.ts";
import { peerFacts, type RequestFacts } from "#core/authz/request/request-facts.ts";
import { normalizeTarget } from "#core/http/normalize-path.ts";
import { isRefusal } from "#core/http/raw-head.ts";
import { checkRequest } from "#core/http/request-rules.ts";
import { parseSpiffeId } from "#core/model/spiffe-id.ts";
import type { PathNormalization } from "#core/model/waypoint-config.ts";
import { ip } from "#core/net/ip.ts";
import { aPolicyObject } from "../test/a-policy.ts";
import { testMeshConfig } from "../test/builders.ts";
import { translateRequestPolicy } from "./request-policy.ts";

interface AuthzVector {
  readonly id: string;
  readonly name: string;
  readonly policies: readonly { readonly targetRefs?: unknown }[];
  readonly request: {
    readonly method: string;
    readonly host: string;
    readonly target: string;
    readonly principal: string | null;
    readonly sourceIp: string;
    readonly port: number;
    readonly servicePort?: number;
    readonly headers?: readonly (readonly [string, string])[];
    readonly protocol?: "tcp";
    readonly firstBytes?: string;
  };
  readonly expect: {
    readonly decision: string;
    readonly byNormalization?: Readonly<Record<string, string>>;
    readonly forwarded?: string;
  };
}

const OPTIONS: Readonly<Record<string, PathNormalization>> = {
  BASE: "base",
  MERGE_SLASHES: "merge-slashes",
  DECODE_AND_MERGE_SLASHES: "decode-and-merge-slashes",
};

const file = new URL("testdata/request-authz-vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as { vectors: readonly AuthzVector[] };

interface Verdict {
  readonly decision: string;
  readonly forwarded?: string;
}

function judge({ policies, request }: AuthzVector, option: PathNormalization): Verdict {
  const translated = policies.map((policy, i) =>
    translateRequestPolicy(aPolicyObject(policy, { name: `p${i}` }), testMeshConfig),
  );
  const compiled = compileRequestPolicies(translated.flatMap(({ policy }) => policy ?? []));
  const setWhere = (ofService: boolean): RequestPolicySet =>
    compiled.setOf(
      translated.flatMap(({ policy, key }, i) =>
        policy !== undefined && (policies[i]?.targetRefs !== undefined) === ofService ? [key] : [],
      ),
    );
  const http = request.protocol === "tcp" ? undefined : readHttp(request, option, compiled.fieldNames);
  if (http !== undefined && "status" in http) return { decision: String(http.status) };
  const id = parseSpiffeId(`spiffe://${request.principal}`);
  const facts = (port: number): RequestFacts => ({
    peer: peerFacts(id.ok ? id.value : undefined, ip(request.sourceIp)),
    destination: { ip: ip("10.0.2.9"), port },
    http: http?.facts,
  });
  const decisions = [
    evaluateRequest(setWhere(true), facts(request.servicePort ?? request.port)),
    evaluateRequest(setWhere(false), facts(request.port)),
    ...(request.firstBytes === undefined ? [] : [evaluateUndeclaredHttp(setWhere(false))]),
  ];
  const allowed = decisions.every((decision) => decision === undefined || decision.kind === "allow");
  return { decision: allowed ? "allow" : "deny", ...(http !== undefined && { forwarded: http.target }) };
}

function readHttp(
  { method, target, host, headers = [] }: AuthzVector["request"],
  option: PathNormalization,
  fieldNames: ReadonlySet<string>,
):
  | { readonly status: number }
  | { readonly facts: NonNullable<RequestFacts["http"]>; readonly target: string } {
  const fields = [["host", host] as const, ...headers].map(([name, value]) => ({ name, value }));
  const raw = { version: "1.1", method, target, scheme: undefined, authority: undefined, fields } as const;
  const head = checkRequest({ ...raw, ended: false }, fieldNames);
  if (isRefusal(head)) return head;
  const normal = normalizeTarget(head.target, option);
  if (normal.kind === "refused") return normal.refusal;
  const facts = { method, path: normal.path, authority: head.authority, fields: head.fields };
  return { facts, target: normal.target };
}

test("all vectors are there", () => assert.equal(vectors.length, 118));

for (const vector of vectors) {
  test(`${vector.id} ${vector.name}`, () => {
    const { decision, byNormalization = {}, forwarded } = vector.expect;
    const verdict = judge(vector, "base");
    assert.equal(verdict.decision, decision);
    if (forwarded !== undefined) assert.equal(verdict.forwarded, forwarded);
    for (const [option, wanted] of Object.entries(byNormalization))
      assert.equal(judge(vector, OPTIONS[option] ?? "none").decision, wanted, option);
  });
}
