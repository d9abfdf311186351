/** Properties of the pure parts, and of the whole server: apply, watches, pages, selectors, patches. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { fromFieldsV1, pathsOf, toFieldsV1 } from "./apply/field-set.ts";
import { planRollout } from "./controllers/deployment-plan.ts";
import { deepEqual, dig, digString, isRecord, type JsonMap } from "./object.ts";
import { jsonPatch } from "./patch/json-patch.ts";
import { decodeProtobufBody } from "./protobuf/decode-body.ts";
import { labelSelector } from "./rest/selectors.ts";
import { applyDefaults } from "./schema/default-values.ts";
import { prune } from "./schema/prune.ts";
import { canonicalQuantity } from "./schema/quantity.ts";
import type { Schema } from "./schema/schema.ts";
import { validate } from "./schema/validate.ts";
import { StatusError } from "./http/status-error.ts";
import { nameOf, startTestApi, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
before(async () => {
  api = await startTestApi({ controllers: "storage" });
});
after(() => api.close());

const MAPS = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const key = fc.constantFrom("a", "b", "c", "d");
const value = fc.constantFrom("1", "2", "3");
const labels = fc.dictionary(key, value, { maxKeys: 4 });

test("a label selector equals a naive matcher", () => {
  const term = fc.oneof(
    fc.record({ op: fc.constantFrom("=", "!="), key, value }),
    fc.record({ op: fc.constantFrom("in", "notin"), key, value }),
    fc.record({ op: fc.constantFrom("has", "lacks"), key, value }),
  );
  const text = ({ op, key: k, value: v }: { op: string; key: string; value: string }): string =>
    op === "has"
      ? k
      : op === "lacks"
        ? `!${k}`
        : op === "in" || op === "notin"
          ? `${k} ${op} (${v},9)`
          : `${k}${op}${v}`;
  const holds = (
    { op, key: k, value: v }: { op: string; key: string; value: string },
    own: Record<string, string>,
  ): boolean =>
    op === "has"
      ? k in own
      : op === "lacks"
        ? !(k in own)
        : op === "=" || op === "in"
          ? own[k] === v
          : own[k] !== v;
  fc.assert(
    fc.property(fc.array(term, { maxLength: 4 }), labels, (terms, own) => {
      const matches = labelSelector(terms.map(text).join(","));
      const object = { apiVersion: "v1", kind: "X", metadata: { name: "x", labels: own } };
      assert.equal(
        matches(object),
        terms.every((one) => holds(one, own)),
      );
    }),
  );
});

test("owned paths survive the way through FieldsV1", () => {
  const schema: Schema = {
    type: "object",
    properties: {
      list: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        items: { type: "object", properties: { name: { type: "string" } } },
      },
      set: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
    },
  };
  const body = fc.record({
    list: fc.array(fc.record({ name: fc.string(), v: fc.integer() }), { maxLength: 4 }),
    set: fc.uniqueArray(fc.string(), { maxLength: 4 }),
    any: fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 }),
  });
  fc.assert(
    fc.property(body, (object) => {
      const paths = new Set(
        [...pathsOf(object, schema).keys()].filter(
          (path) => !path.includes("\u0000f:.") && !path.endsWith("f:"),
        ),
      );
      assert.deepEqual([...fromFieldsV1(toFieldsV1(paths))].toSorted(), [...paths].toSorted());
    }),
  );
});

test("pruning and defaulting are idempotent, and what they leave validates no worse", () => {
  const schema: Schema = {
    type: "object",
    properties: {
      a: { type: "string", default: "x" },
      b: { type: "object", properties: { c: { type: "integer", default: 3 } } },
      l: { type: "array", items: { type: "object", properties: { d: { type: "boolean", default: true } } } },
    },
  };
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (input) => {
      const once = structuredClone(prune(input, schema, { unknown: [], dropNulls: false }));
      applyDefaults(once, schema);
      const twice = structuredClone(prune(once, schema, { unknown: [], dropNulls: false }));
      applyDefaults(twice, schema);
      assert.ok(deepEqual(once, twice));
      assert.ok(validate(once, schema).length <= validate(input, schema).length);
    }),
  );
});

test("a quantity's canonical form is canonical", () => {
  const text = fc.tuple(
    fc.integer({ min: 0, max: 100_000 }),
    fc.constantFrom("", ".5", ".25"),
    fc.constantFrom("", "m", "k", "M", "Ki", "Mi", "Gi", "e3"),
  );
  fc.assert(
    fc.property(text, (parts) => {
      // 53281.25Ki is 54560000, which is no whole number of Ki and loses its suffix; read again it is decimal: 54560k.
      const canonical = canonicalQuantity(canonicalQuantity(parts.join("")) ?? "");
      assert.ok(canonical !== undefined);
      assert.equal(canonicalQuantity(canonical), canonical);
    }),
  );
  for (const [given, wanted] of [
    ["0.5", "500m"],
    ["1024Mi", "1Gi"],
    ["1000m", "1"],
    ["1e3", "1k"],
    ["0", "0"],
    ["1.5Gi", "1536Mi"],
    ["abc", undefined],
    ["1 Gi", undefined],
  ] as const) {
    assert.equal(canonicalQuantity(given), wanted, given);
  }
});

test("parsers of arbitrary bytes refuse with a Status, and never hang or throw anything else", () => {
  const refuses = (work: () => unknown): void => {
    try {
      work();
    } catch (error) {
      assert.ok(error instanceof StatusError, String(error));
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
      refuses(() => decodeProtobufBody(Buffer.concat([Buffer.from("k8s\0"), bytes]))),
    ),
  );
  fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => refuses(() => labelSelector(text))));
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (document, patch) =>
      refuses(() => jsonPatch(document, patch)),
    ),
  );
});

test("a rollout ends with every pod in the new set and never goes below what must be available", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      (desired, surge, unavailable) => {
        const maxUnavailable = surge === 0 && unavailable === 0 ? 1 : unavailable;
        let old = { name: "old", wanted: desired, available: desired, pods: desired };
        let current = { name: "new", wanted: 0, available: 0, pods: 0 };
        for (let step = 0; step < 50; step += 1) {
          const plan = planRollout({
            desired,
            maxSurge: surge,
            maxUnavailable,
            recreate: false,
            paused: false,
            current,
            old: [old],
          });
          const oldWanted = plan.get("old") ?? old.wanted;
          old = { ...old, wanted: oldWanted, available: Math.min(old.available, oldWanted), pods: oldWanted };
          const wanted = plan.get("new") ?? current.wanted;
          assert.ok(old.available + current.available >= desired - maxUnavailable, "availability");
          assert.ok(old.wanted + wanted <= desired + surge, "surge");
          current = { name: "new", wanted, available: wanted, pods: wanted };
        }
        assert.equal(old.wanted, 0);
        assert.equal(current.wanted, desired);
      },
    ),
  );
});

const container = fc.record({
  name: fc.constantFrom("a", "b"),
  image: fc.constantFrom("i:1", "i:2"),
  env: fc.uniqueArray(fc.record({ name: key, value }), { maxLength: 3, selector: (item) => item.name }),
});
const deployment = fc.record({
  replicas: fc.integer({ min: 0, max: 3 }),
  containers: fc.uniqueArray(container, { minLength: 1, maxLength: 2, selector: (item) => item.name }),
});

function manifest(
  name: string,
  { replicas, containers }: { replicas: number; containers: unknown },
): JsonMap {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: "x" } },
      template: { metadata: { labels: { app: "x" } }, spec: { containers } },
    },
  };
}

async function apply(name: string, manager: string, body: JsonMap): ReturnType<TestApi["request"]> {
  return api.request("PATCH", `${DEPLOYMENTS}/${name}?fieldManager=${manager}`, {
    body,
    contentType: "application/apply-patch+yaml",
  });
}

test("applying twice keeps the revision; conflicts of A over B are those of B over A", async () => {
  let round = 0;
  await fc.assert(
    fc.asyncProperty(deployment, deployment, async (a, b) => {
      round += 1;
      const [first, second] = [`ab${round}`, `ba${round}`];
      const created = await apply(first, "a", manifest(first, a));
      assert.equal(created.code, 201, created.text);
      const again = await apply(first, "a", manifest(first, a));
      assert.equal(
        dig(again.body, "metadata", "resourceVersion"),
        dig(created.body, "metadata", "resourceVersion"),
      );
      await apply(second, "b", manifest(second, b));
      const fields = (body: JsonMap): string[] =>
        ((dig(body, "details", "causes") ?? []) as { field: string }[])
          .map((cause) => cause.field)
          .toSorted();
      const ab = fields((await apply(first, "b", manifest(first, b))).body);
      const ba = fields((await apply(second, "a", manifest(second, a))).body);
      assert.deepEqual(ab, ba);
    }),
    { numRuns: 60 },
  );
});

test("a watch from any revision replays to the list; pages joined are the list", async () => {
  const write = fc.record({
    name: fc.constantFrom("w0", "w1", "w2", "w3", "w4", "w5"),
    label: fc.constantFrom("x", "y"),
    remove: fc.boolean(),
  });
  const revisions: number[] = [];
  for (const { name, label, remove } of fc.sample(write, 200)) {
    const body = { metadata: { name, labels: { t: label } }, data: { n: String(revisions.length) } };
    const answer = remove
      ? await api.request("DELETE", `${MAPS}/${name}`)
      : await api.request("POST", MAPS, { body });
    if (answer.code === 409) await api.request("PUT", `${MAPS}/${name}`, { body });
    const list = await api.request("GET", MAPS);
    revisions.push(Number(dig(list.body, "metadata", "resourceVersion")));
  }
  const selector = "labelSelector=t%3Dx";
  const final = await api.request("GET", `${MAPS}?${selector}`);
  const last = Number(dig(final.body, "metadata", "resourceVersion"));
  const wanted = (final.body["items"] as unknown[]).map((item) => [
    nameOf(item),
    dig(item, "metadata", "resourceVersion"),
  ]);
  for (const from of [revisions[0], revisions[70], revisions[150], last]) {
    const events = await api.watch(
      `${MAPS}?watch=true&${selector}&resourceVersion=0&timeoutSeconds=1`,
      () => false,
    );
    assert.ok(events.length >= wanted.length);
    const state = new Map<string, unknown>();
    for (const event of await api.watch(
      `${MAPS}?watch=true&${selector}&resourceVersion=${from}&timeoutSeconds=1`,
      () => false,
    )) {
      const object = event["object"];
      if (!isRecord(object)) continue;
      if (event["type"] === "DELETED") state.delete(nameOf(object));
      else state.set(nameOf(object), dig(object, "metadata", "resourceVersion"));
    }
    for (const [name, revision] of state)
      assert.deepEqual(
        [name, revision],
        wanted.find(([other]) => other === name),
      );
  }
  const whole = (await api.request("GET", MAPS)).body["items"] as unknown[];
  const joined: unknown[] = [];
  for (let token = ""; ;) {
    const page = await api.request("GET", `${MAPS}?limit=2&continue=${encodeURIComponent(token)}`);
    joined.push(...(page.body["items"] as unknown[]));
    token = digString(page.body, "metadata", "continue") ?? "";
    if (token === "") break;
  }
  assert.deepEqual(joined.map(nameOf), whole.map(nameOf));
});
