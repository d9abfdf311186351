import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpField } from "#core/http/message.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { clientCertValue, requestFields } from "./header-hygiene.ts";

const newRequestId = (): string => "new-id";
const fieldsOf = (text: string): readonly HttpField[] =>
  text.split("\n").map((line) => ({ name: line.split(": ")[0] ?? "", value: line.split(": ")[1] ?? "" }));
const textOf = (fields: readonly HttpField[]): string =>
  fields.map(({ name, value }) => `${name}: ${value}`).join("\n");

const CASES: readonly {
  readonly name: string;
  readonly given: string;
  readonly clientCert?: string;
  readonly expect: string;
}[] = [
  {
    name: "what proxies write is removed, every line of it",
    given:
      "x-forwarded-client-cert: By=a\nx-envoy-original-path: /admin\na: b\nx-envoy-: x\nx-forwarded-client-cert: By=b\nx-request-id: 1",
    expect: "a: b\nx-request-id: 1",
  },
  {
    name: "names that only begin alike stay",
    given: "x-envoy: 1\nx-forwarded-client-certificate: 2\nxx-envoy-a: 3\nx-request-id: 1",
    expect: "x-envoy: 1\nx-forwarded-client-certificate: 2\nxx-envoy-a: 3\nx-request-id: 1",
  },
  {
    name: "x-forwarded-for and forwarded pass in their order",
    given: "x-forwarded-for: 1.2.3.4\nforwarded: for=1.2.3.4\nx-forwarded-for: 5.6.7.8\nx-request-id: 1",
    expect: "x-forwarded-for: 1.2.3.4\nforwarded: for=1.2.3.4\nx-forwarded-for: 5.6.7.8\nx-request-id: 1",
  },
  { name: "an id is made where there is none", given: "a: b", expect: "a: b\nx-request-id: new-id" },
  { name: "an empty id is none", given: "x-request-id: \na: b", expect: "a: b\nx-request-id: new-id" },
  {
    name: "the client certificate field is the waypoint's",
    given: "x-forwarded-client-cert: forged\nx-request-id: 1",
    clientCert: "By=own;URI=peer",
    expect: "x-request-id: 1\nx-forwarded-client-cert: By=own;URI=peer",
  },
];

for (const { name, given, clientCert, expect } of CASES) {
  test(name, () => {
    const { fields } = requestFields(fieldsOf(given), { newRequestId, clientCert });
    assert.equal(textOf(fields), expect);
  });
}

test("nothing to change: the same list, and the caller's id", () => {
  const given = fieldsOf("a: b\nx-request-id: mine");
  const { fields, requestId } = requestFields(given, { newRequestId, clientCert: undefined });
  assert.equal(fields, given);
  assert.equal(requestId, "mine");
});

test("the client certificate field has Envoy's form", () => {
  const id = (serviceAccount: string) =>
    spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount });
  assert.equal(
    clientCertValue(id("waypoint"), id("frontend")),
    "By=spiffe://cluster.local/ns/shop/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/frontend",
  );
});
