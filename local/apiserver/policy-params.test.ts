/** Parameters of ValidatingAdmissionPolicies: found by name or labels, absent, demanded, of kinds that are not there. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestApi, type TestAnswer, type TestApi } from "./testing/test-api.ts";

type Json = Readonly<Record<string, unknown>>;

const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
const MAPS = "/api/v1/namespaces/shop/configmaps";

let api: TestApi;
before(async () => {
  api = await startTestApi({ controllers: "storage" });
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "shop" } } });
  for (const [name, limit] of [
    ["low", "1"],
    ["high", "3"],
  ] as const)
    await api.request("POST", MAPS, {
      body: { metadata: { name, labels: { limits: "yes", exempt: "yes" } }, data: { limit } },
    });
});
after(() => api.close());

const create = (plural: string, body: Json): Promise<TestAnswer> =>
  api.request("POST", `${ADMISSION}/${plural}`, { body });

/** A policy on ConfigMaps of one name, and its binding. */
async function bind(
  name: string,
  options: { readonly paramKind?: Json; readonly paramRef?: Json; readonly failurePolicy?: string },
): Promise<void> {
  const { paramKind = { apiVersion: "v1", kind: "ConfigMap" }, paramRef, failurePolicy = "Fail" } = options;
  const rule = {
    apiGroups: [""],
    apiVersions: ["v1"],
    operations: ["CREATE"],
    resources: ["configmaps", "namespaces"],
  };
  const validations = [
    {
      expression: "params == null || int(object.data.size) <= int(params.data.limit)",
      messageExpression: "'more than ' + params.data.limit",
    },
  ];
  const spec = {
    failurePolicy,
    paramKind,
    matchConstraints: { resourceRules: [{ ...rule, resourceNames: [name] }] },
    validations,
  };
  const policy = await create("validatingadmissionpolicies", { metadata: { name }, spec });
  assert.equal(policy.code, 201, policy.text);
  const bound = await create("validatingadmissionpolicybindings", {
    metadata: { name },
    spec: { policyName: name, validationActions: ["Deny"], ...(paramRef && { paramRef }) },
  });
  assert.equal(bound.code, 201, bound.text);
}

const make = (name: string, size: string): Promise<TestAnswer> =>
  api.request("POST", MAPS, { body: { metadata: { name }, data: { size } } });

test("every object that the labels find must agree", async () => {
  await bind("all", {
    paramRef: { selector: { matchLabels: { limits: "yes" } }, parameterNotFoundAction: "Deny" },
  });
  const refused = await make("all", "2");
  assert.equal(refused.code, 422);
  assert.match(String(refused.body["message"]), /more than 1/);
  assert.equal((await make("all", "1")).code, 201);
});

test("one named object is asked alone", async () => {
  await bind("one", { paramRef: { name: "high", parameterNotFoundAction: "Deny" } });
  assert.match(String((await make("one", "4")).body["message"]), /more than 3/);
  assert.equal((await make("one", "3")).code, 201);
});

test("where there is none, the binding says whether that is allowed", async () => {
  await bind("demanded", { paramRef: { name: "nowhere", parameterNotFoundAction: "Deny" } });
  assert.match(String((await make("demanded", "1")).body["message"]), /no params found/);
  await bind("optional", { paramRef: { name: "nowhere", parameterNotFoundAction: "Allow" } });
  assert.equal((await make("optional", "99")).code, 201);
});

test("parameters of another namespace are not found by labels, and are when the binding names it", async () => {
  await api.request("POST", "/api/v1/namespaces", { body: { metadata: { name: "street" } } });
  const body = { metadata: { name: "far", labels: { far: "yes" } }, data: { limit: "1" } };
  await api.request("POST", "/api/v1/namespaces/street/configmaps", { body });
  const paramRef = { selector: { matchLabels: { far: "yes" } }, parameterNotFoundAction: "Allow" };
  await bind("near", { paramRef });
  assert.equal((await make("near", "99")).code, 201);
  await bind("named", { paramRef: { ...paramRef, namespace: "street" } });
  assert.match(String((await make("named", "99")).body["message"]), /more than 1/);
});

test("a binding without a reference is judged once, without parameters", async () => {
  await bind("without", {});
  assert.equal((await make("without", "99")).code, 201);
});

test("a kind that is not there fails closed, unless the policy ignores failures", async () => {
  const paramKind = { apiVersion: "example.org/v1", kind: "Limit" };
  const paramRef = { name: "x", parameterNotFoundAction: "Allow" };
  await bind("unknown", { paramKind, paramRef });
  assert.match(String((await make("unknown", "1")).body["message"]), /failed to find resource/);
  await bind("ignored", { paramKind, paramRef, failurePolicy: "Ignore" });
  assert.equal((await make("ignored", "1")).code, 201);
});

test("a namespace for a kind without namespaces fails closed", async () => {
  const paramKind = { apiVersion: "v1", kind: "Node" };
  await bind("misplaced", {
    paramKind,
    paramRef: { name: "n1", namespace: "shop", parameterNotFoundAction: "Allow" },
  });
  assert.match(String((await make("misplaced", "1")).body["message"]), /must not be provided/);
});

for (const [what, paramRef, field] of [
  ["neither name nor labels", { parameterNotFoundAction: "Deny" }, "spec.paramRef.name"],
  [
    "both name and labels",
    { name: "x", selector: {}, parameterNotFoundAction: "Deny" },
    "spec.paramRef.name",
  ],
  ["no word about what happens without", { name: "x" }, "spec.paramRef.parameterNotFoundAction"],
] as const)
  test(`a reference with ${what} is refused`, async () => {
    const spec = { policyName: "p", validationActions: ["Deny"], paramRef };
    const answer = await create("validatingadmissionpolicybindings", { metadata: { name: "bad" }, spec });
    assert.equal(answer.code, 422, answer.text);
    assert.match(answer.text, new RegExp(field.replaceAll(".", "\\.")));
  });
