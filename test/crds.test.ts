/** The served CRDs refuse wrong input with the path of the field, and take what Istio's own examples use. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startTestApi, type TestAnswer, type TestApi } from "#local/apiserver/testing/test-api.ts";
import { parse } from "yaml";

const GROUP = "/apis/security.istio.io/v1/namespaces/shop";
const KINDS = {
  authorizationpolicies: "AuthorizationPolicy",
  peerauthentications: "PeerAuthentication",
} as const;
type Plural = keyof typeof KINDS;

let api: TestApi;
before(async () => {
  api = await startTestApi({ controllers: "storage" });
  for (const file of ["authorization-policy.yaml", "peer-authentication.yaml"]) {
    const body: unknown = parse(readFileSync(join(import.meta.dirname, "..", "crds", file), "utf8"));
    const answer = await api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
      body,
    });
    assert.equal(answer.code, 201, answer.text);
  }
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "shop" } } });
});
after(() => api.close());

test("kubectl explain has a sentence for every field", () => {
  let looked = 0;
  const walk = (schema: unknown, path: string): void => {
    const { description, properties = {}, items, additionalProperties } = schema as Schema;
    looked++;
    assert.ok(path.endsWith("[]") || path.split(".").length < 3 || (description ?? "").endsWith("."), path);
    for (const [name, inner] of Object.entries(properties)) walk(inner, `${path}.${name}`);
    if (items !== undefined) walk(items, `${path}[]`);
    if (typeof additionalProperties === "object") walk(additionalProperties, `${path}.*`);
  };
  for (const [file, fields] of [
    ["authorization-policy.yaml", 60],
    ["peer-authentication.yaml", 20],
    ["gateway-class.yaml", 20],
    ["gateway.yaml", 100],
  ] as const) {
    looked = 0;
    const crd = parse(readFileSync(join(import.meta.dirname, "..", "crds", file), "utf8")) as Crd;
    for (const version of crd.spec.versions) walk(version.schema.openAPIV3Schema, file.replace(".yaml", ""));
    assert.ok(looked > 2 * fields, `${looked} fields of ${file}`);
  }
});

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly items?: unknown;
  readonly additionalProperties?: unknown;
}

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: unknown } }[] };
}

let made = 0;
function create(plural: Plural, spec: unknown, query = ""): Promise<TestAnswer> {
  const body = {
    apiVersion: "security.istio.io/v1",
    kind: KINDS[plural],
    metadata: { name: `p${++made}`, namespace: "shop" },
    spec,
  };
  return api.request("POST", `${GROUP}/${plural}${query}`, { body });
}

const source = (value: object): object => ({ rules: [{ from: [{ source: value }] }] });
const REFUSED: readonly (readonly [string, Plural, unknown, RegExp])[] = [
  [
    "a condition without values",
    "authorizationpolicies",
    { rules: [{ when: [{ key: "source.namespace" }] }] },
    /spec\.rules\[0\]\.when\[0\].*needs values or notValues/s,
  ],
  [
    "a condition with no value in its lists",
    "authorizationpolicies",
    { rules: [{ when: [{ key: "source.namespace", values: [], notValues: [] }] }] },
    /needs values or notValues/,
  ],
  ["a misspelt mode", "peerauthentications", { mtls: { mode: "STRCIT" } }, /spec\.mtls\.mode/],
  ["a mode that is a number", "peerauthentications", { mtls: { mode: 1 } }, /spec\.mtls\.mode/],
  [
    "ports without a selector",
    "peerauthentications",
    { portLevelMtls: { "80": { mode: "STRICT" } } },
    /spec.*portLevelMtls needs a selector/s,
  ],
  [
    "a port that is a name",
    "peerauthentications",
    { selector: { matchLabels: { a: "b" } }, portLevelMtls: { http: { mode: "STRICT" } } },
    /spec\.portLevelMtls.*a port from 1 to 65535/s,
  ],
  [
    "a port above all ports",
    "peerauthentications",
    { selector: { matchLabels: { a: "b" } }, portLevelMtls: { "65536": { mode: "STRICT" } } },
    /spec\.portLevelMtls/,
  ],
  [
    "a wildcard label",
    "peerauthentications",
    { selector: { matchLabels: { app: "*" } } },
    /spec\.selector\.matchLabels/,
  ],
  ["an unknown action", "authorizationpolicies", { action: "PERMIT" }, /spec\.action/],
  ["rules that are no list", "authorizationpolicies", { rules: {} }, /spec\.rules/],
  [
    "an address that is none",
    "authorizationpolicies",
    source({ ipBlocks: ["10.0.0.0/33"] }),
    /ipBlocks\[0\]/,
  ],
  ["an empty principal", "authorizationpolicies", source({ principals: ["x", ""] }), /principals\[1\]/],
  [
    "accounts beside principals",
    "authorizationpolicies",
    source({ serviceAccounts: ["a"], principals: ["b"] }),
    /spec\.rules\[0\]\.from\[0\]\.source/,
  ],
  [
    "a port that is none",
    "authorizationpolicies",
    { rules: [{ to: [{ operation: { ports: ["http"] } }] }] },
    /spec\.rules\[0\]\.to\[0\]\.operation\.ports\[0\]/,
  ],
  [
    "a condition without a key",
    "authorizationpolicies",
    { rules: [{ when: [{ values: ["a"] }] }] },
    /spec\.rules\[0\]\.when\[0\]\.key/,
  ],
];

for (const [name, plural, spec, path] of REFUSED) {
  test(`is refused with its path: ${name}`, async () => {
    const answer = await create(plural, spec);
    assert.equal(answer.code, 422, answer.text);
    assert.match(String(answer.body["message"]), path);
    assert.ok(Array.isArray((answer.body["details"] as { causes?: unknown[] }).causes));
  });
}

interface PolicyVector {
  readonly id: string;
  readonly name: string;
  readonly operation: unknown;
  readonly expect: { readonly admission: string; readonly field: string };
}
const { vectors } = JSON.parse(
  readFileSync(join(import.meta.dirname, "testdata", "policy-vectors.json"), "utf8"),
) as { vectors: readonly PolicyVector[] };

test("the policy vectors are there", () => assert.equal(vectors.length, 14));

for (const { id, name, operation, expect } of vectors) {
  test(`${id} is refused with its field: ${name}`, async () => {
    for (const action of ["ALLOW", "DENY"]) {
      const answer = await create("authorizationpolicies", { action, rules: [{ to: [{ operation }] }] });
      assert.equal(expect.admission, "reject");
      assert.equal(answer.code, 422, answer.text);
      const { causes } = answer.body["details"] as { causes: readonly { readonly field: string }[] };
      assert.ok(
        causes.some(({ field }) => field === expect.field),
        JSON.stringify(causes),
      );
    }
  });
}

for (const field of ["notPaths", "notHosts", "notMethods"]) {
  test(`what can never match is refused among ${field} too`, async () => {
    for (const text of ["/a b", "a*b", "get it"]) {
      const answer = await create("authorizationpolicies", {
        rules: [{ to: [{ operation: { [field]: ["*", text] } }] }],
      });
      assert.equal(answer.code, 422, answer.text);
      assert.match(String(answer.body["message"]), new RegExp(`operation\\.${field}\\[1\\]`));
    }
  });
}

test("a misspelt field is refused as kubectl asks, and never kept", async () => {
  const strict = await create("peerauthentications", { mtsl: { mode: "STRICT" } }, "?fieldValidation=Strict");
  assert.equal(strict.code, 400);
  assert.match(String(strict.body["message"]), /unknown field "spec\.mtsl"/);
  const loose = await create("peerauthentications", { mtsl: { mode: "STRICT" } }, "?fieldValidation=Warn");
  assert.equal(loose.code, 201);
  assert.match(loose.warnings.join(), /unknown field .*spec\.mtsl/);
  assert.deepEqual(loose.body["spec"], {});
});

const REQUESTS = {
  paths: [
    "/",
    "*",
    "/a*",
    "*.css",
    "*/a",
    "/.well-known/a",
    "/a/..*",
    "/i/{*}",
    "/i/{*}.json",
    "/{**}/p",
    "/i/{**}",
  ],
  notPaths: ["/a//b", "/a;x=1", "/%2F", "/a:b@c!$&'()+,="],
  hosts: ["*", "shop.test", "*.test", "shop.test:*", "Shop_1:80", "[::1]", "[::1]:80"],
  methods: ["GET", "*", "P*", "*T", "M-SEARCH"],
};
const TAKEN: readonly (readonly [Plural, unknown])[] = [
  ["peerauthentications", { mtls: { mode: "STRICT" } }],
  ["peerauthentications", {}],
  ["authorizationpolicies", {}],
  ["authorizationpolicies", { action: "DENY", rules: [{}] }],
  ["authorizationpolicies", { rules: [{ to: [{ operation: REQUESTS }] }] }],
  [
    "authorizationpolicies",
    source({ principals: ["cluster.local/ns/shop/sa/*"], ipBlocks: ["10.0.0.0/8", "fd00::/8"] }),
  ],
  [
    "authorizationpolicies",
    { rules: [{ to: [{ operation: { ports: ["1", "65535"], methods: ["GET"] } }] }] },
  ],
];
test("what Istio takes is taken, in both served versions", async () => {
  for (const [plural, spec] of TAKEN)
    assert.equal((await create(plural, spec)).code, 201, JSON.stringify(spec));
  const older = await api.request("GET", `${GROUP.replace("/v1/", "/v1beta1/")}/authorizationpolicies`);
  assert.equal(older.code, 200);
});
