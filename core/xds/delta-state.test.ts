import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeltaResponse } from "../wire/xds-codec.ts";
import { DeltaState } from "./delta-state.ts";

const NODE = { id: "ztunnel~10.0.0.1~z.ns~ns.svc", cluster: "", metadata: {}, buildVersion: "" };
const A = "type.test/A";
const B = "type.test/B";

function response(
  typeUrl: string,
  versions: Record<string, string>,
  removed: readonly string[] = [],
): DeltaResponse {
  const resources = Object.entries(versions).map(([name, version]) => ({
    name,
    version,
    aliases: [`/${name}`],
    typeUrl,
    body: new Uint8Array(0),
  }));
  return { systemVersion: "", typeUrl, nonce: `${typeUrl}#`, resources, removed };
}

function wildcard(): DeltaState {
  return new DeltaState([
    { typeUrl: A, mode: "wildcard" },
    { typeUrl: B, mode: "wildcard" },
  ]);
}

test("a stream begins with one request per type, in order, with the node", () => {
  const requests = wildcard().connected(NODE);
  assert.deepEqual(
    requests.map((r) => [r.typeUrl, r.node?.id, r.subscribe, r.unsubscribe, r.responseNonce]),
    [
      [A, NODE.id, [], [], ""],
      [B, NODE.id, [], [], ""],
    ],
  );
});

test("a response without rejections is acknowledged by its nonce and nothing else", () => {
  const state = wildcard();
  const { answer } = state.applied(response(A, { x: "1" }), []);
  assert.equal(answer.responseNonce, `${A}#`);
  assert.deepEqual([answer.error, answer.node, answer.subscribe], [undefined, undefined, []]);
});

test("a rejection names every resource and is not an acknowledgement", () => {
  const state = wildcard();
  const rejections = [
    { name: "x", reason: "bad" },
    { name: "y", reason: "worse" },
  ];
  const { answer } = state.applied(response(A, { x: "1", y: "1", z: "1" }), rejections);
  assert.equal(answer.error?.message, "x: bad; y: worse");
  assert.deepEqual(state.acknowledged(), []);
  assert.deepEqual([...state.held(A)], [["z", "1"]]);
});

test("a rejected update leaves the version that is in force", () => {
  const state = wildcard();
  state.applied(response(A, { x: "1" }), []);
  state.applied(response(A, { x: "2" }), [{ name: "x", reason: "bad" }]);
  assert.deepEqual([...(state.connected(NODE)[0]?.initialResourceVersions ?? [])], [["x", "1"]]);
});

test("what is held is reported on the next stream, what was removed is not", () => {
  const state = wildcard();
  state.applied(response(A, { x: "1", y: "1" }), []);
  state.applied(response(A, { x: "2" }, ["y", "never seen"]), []);
  const [first, second] = state.connected(NODE);
  assert.deepEqual([...(first?.initialResourceVersions ?? [])], [["x", "2"]]);
  assert.deepEqual([...(second?.initialResourceVersions ?? [])], []);
});

test("the report is a copy: later changes do not reach it", () => {
  const state = wildcard();
  const [first] = state.connected(NODE);
  state.applied(response(A, { x: "1" }), []);
  assert.equal(first?.initialResourceVersions.size, 0);
});

test("ready means that every wildcard type has been acknowledged once", () => {
  const state = wildcard();
  state.applied(response(A, {}), []);
  assert.ok(!state.isReady());
  state.applied(response(B, { x: "1" }), [{ name: "x", reason: "bad" }]);
  assert.ok(!state.isReady());
  state.applied(response(B, {}), []);
  assert.ok(state.isReady());
  state.applied(response(B, { x: "1" }), [{ name: "x", reason: "bad" }]);
  assert.ok(state.isReady());
});

test("an unknown type is acknowledged and forgotten", () => {
  const state = wildcard();
  const { answer, settled } = state.applied(response("type.test/other", { x: "1" }), []);
  assert.deepEqual([answer.typeUrl, answer.error, settled], ["type.test/other", undefined, []]);
  assert.deepEqual([...state.held("type.test/other")], []);
});

test("on demand: nothing at first, then each name once, also on the next stream", () => {
  const state = new DeltaState([{ typeUrl: A, mode: "on-demand" }]);
  assert.deepEqual(
    state.connected(NODE).map((r) => [r.subscribe, r.unsubscribe]),
    [[["*"], ["*"]]],
  );
  assert.ok(state.isReady());
  assert.deepEqual(state.demand(A, "x")?.subscribe, ["x"]);
  assert.equal(state.demand(A, "x"), undefined);
  assert.equal(state.demand("type.test/other", "x"), undefined);
  assert.deepEqual(state.connected(NODE)[0]?.subscribe, ["*", "x"]);
});

test("a demand is settled by name, by alias, by absence and by rejection", () => {
  const state = new DeltaState([{ typeUrl: A, mode: "on-demand" }]);
  for (const name of ["x", "/y", "gone", "bad", "later"]) state.demand(A, name);
  const rejected = [{ name: "bad", reason: "no" }];
  const { settled } = state.applied(
    response(A, { x: "1", y: "1", bad: "1", extra: "1" }, ["gone"]),
    rejected,
  );
  assert.deepEqual(settled, ["x", "/y", "bad", "gone"]);
  assert.deepEqual(
    ["x", "/y", "gone", "bad", "later"].map((name) => state.isAnswered(A, name)),
    [true, true, true, true, false],
  );
});

test("a thousand rejections make an error of bounded length", () => {
  const rejections = Array.from({ length: 1000 }, (_, i) => ({ name: `name${i}`, reason: "r".repeat(50) }));
  const { answer } = wildcard().applied(response(A, {}), rejections);
  assert.ok((answer.error?.message.length ?? 0) <= 8192);
});
