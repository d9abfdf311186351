import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeltaRequest } from "#core/wire/xds-codec.ts";
import { decodeDeltaResponse } from "#core/wire/xds-codec.ts";
import type { EncodedResource, ResourceKind } from "../encoded-resource.ts";
import { encodeResourceEntry } from "#core/wire/xds-codec.ts";
import { PublishedState, type ResourceType } from "./published-state.ts";
import { FrameCache, TYPE_URLS } from "./range-frame.ts";
import { StreamState } from "./stream-state.ts";

function resource(
  name: string,
  version: string,
  kind: ResourceKind = "workload",
  more: Partial<EncodedResource> = {},
): EncodedResource {
  const body = Buffer.from(version);
  const typeUrl = TYPE_URLS[kind === "authorization" ? "authorization" : "address"];
  const entry = encodeResourceEntry({ name, version, typeUrl, body, aliases: [] });
  return { kind, name, version, body, entry, aliases: [], services: [], node: "", ...more };
}

const request = (change: Partial<DeltaRequest> = {}): DeltaRequest => ({
  node: undefined,
  typeUrl: "",
  subscribe: [],
  unsubscribe: [],
  initialResourceVersions: new Map(),
  responseNonce: "",
  error: undefined,
  ...change,
});

interface Sent {
  readonly type: ResourceType;
  readonly names: readonly string[];
  readonly removed: readonly string[];
  readonly nonce: string;
}

function open(): {
  state: StreamState;
  published: PublishedState;
  publish: (type: ResourceType, ...list: readonly (EncodedResource | string)[]) => void;
  sent: () => Sent | undefined;
  ack: (s: Sent | undefined, error?: string) => string;
} {
  const published = new PublishedState();
  const state = new StreamState({ epoch: "e", published, frames: new FrameCache(published), node: "n1" });
  return {
    state,
    published,
    publish: (type, ...list) =>
      published.publish(
        type,
        new Map(list.map((one) => (typeof one === "string" ? [one, undefined] : [one.name, one]))),
      ),
    sent: () => {
      const frame = state.next(0);
      if (frame === undefined) return undefined;
      const decoded = decodeDeltaResponse(frame.bytes);
      assert.ok(decoded.ok);
      const { resources, removed, nonce } = decoded.value;
      return { type: frame.type, names: resources.map((r) => r.name), removed, nonce };
    },
    ack: (s, error) =>
      state.onRequest(
        s?.type ?? "address",
        request({
          responseNonce: s?.nonce ?? "",
          error: error === undefined ? undefined : { code: 0, message: error },
        }),
        0,
      ),
  };
}

test("one response per type is in flight; what changes meanwhile is merged into the next", () => {
  const { state, publish, sent, ack } = open();
  publish("address", resource("a", "1"));
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request(), 0);
  assert.equal(sent()?.type, "authorization");
  const first = sent();
  assert.deepEqual(first?.names, ["a"]);
  publish("address", resource("a", "2"));
  publish("address", resource("b", "1"), resource("a", "3"));
  publish("address", "b");
  assert.equal(sent(), undefined, "not acknowledged yet");
  assert.equal(ack(first), "ack");
  const second = sent();
  assert.deepEqual([second?.names, second?.removed], [["a"], ["b"]]);
});

test("an ACK that changes nothing is not answered; a stale nonce frees nothing", () => {
  const { state, sent, ack } = open();
  state.onRequest("authorization", request(), 0);
  const first = sent();
  assert.equal(ack({ type: "authorization", names: [], removed: [], nonce: "old" }), "stale");
  assert.equal(ack(first), "ack");
  assert.equal(sent(), undefined);
});

test("addresses wait for the policies, and for a client that has not asked for policies only so long", () => {
  const { state, publish, sent } = open();
  publish("address", resource("a", "1"));
  state.onRequest("address", request(), 0);
  assert.equal(sent(), undefined);
  state.endPolicyGrace();
  assert.deepEqual(sent()?.names, ["a"]);
});

test("a policy in flight holds workloads back only when more policies have come", () => {
  const { state, publish, sent, ack } = open();
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request(), 0);
  ack(sent());
  ack(sent());
  publish("authorization", resource("p", "1", "authorization"));
  publish("address", resource("w", "names p"));
  const policy = sent();
  assert.deepEqual(policy?.names, ["p"]);
  publish("authorization", resource("q", "1", "authorization"));
  publish("address", resource("w", "names p and q"));
  assert.equal(sent(), undefined, "q has not been sent");
  ack(policy);
  assert.deepEqual(sent()?.names, ["q"]);
  assert.deepEqual(sent()?.names, ["w"]);
});

test("the removal of a policy waits for the workloads that named it", () => {
  const { state, publish, sent, ack } = open();
  publish("authorization", resource("p", "1", "authorization"));
  publish("address", resource("w", "names p"));
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request(), 0);
  ack(sent());
  const initial = sent();
  publish("authorization", "p");
  publish("address", resource("w", "plain"));
  assert.equal(sent(), undefined, "addresses are in flight");
  ack(initial);
  const workload = sent();
  assert.deepEqual([workload?.names, workload?.removed], [["w"], []]);
  assert.deepEqual(sent()?.removed, ["p"]);
});

test("a policy that comes back before its removal was sent is not removed", () => {
  const { state, publish, sent, ack } = open();
  publish("authorization", resource("p", "1", "authorization"));
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request(), 0);
  ack(sent());
  const initial = sent();
  publish("authorization", "p");
  publish("address", resource("w", "1"));
  assert.equal(sent(), undefined);
  publish("authorization", resource("p", "2", "authorization"));
  ack(initial);
  const back = sent();
  assert.deepEqual([back?.names, back?.removed], [["p"], []]);
  ack(back);
  sent();
  assert.equal(sent(), undefined);
});

test("a reconnecting client: only differences, and the end of what is gone", () => {
  const { state, publish, sent } = open();
  publish("address", resource("same", "1"), resource("changed", "2"), resource("new", "1"));
  const held = new Map([
    ["same", "1"],
    ["changed", "1"],
    ["gone", "1"],
  ]);
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request({ initialResourceVersions: held }), 0);
  sent();
  const first = sent();
  assert.deepEqual([first?.names.toSorted(), first?.removed], [["changed", "new"], ["gone"]]);
});

test("a refused version is never sent again on the stream, whoever else is blamed or not", () => {
  const { state, publish, sent, ack } = open();
  publish("authorization", resource("bad", "1", "authorization"), resource("good", "1", "authorization"));
  state.onRequest("authorization", request(), 0);
  assert.equal(ack(sent(), "bad: cannot use it; other: x"), "nack");
  publish("authorization", resource("bad", "2", "authorization"));
  const second = sent();
  assert.deepEqual(second?.names, ["bad"]);
  ack(second);
  publish("authorization", resource("bad", "1", "authorization"), resource("good", "2", "authorization"));
  assert.deepEqual(sent()?.names, ["good"]);
});

test("a NACK without names blames the whole response", () => {
  const { state, publish, sent, ack } = open();
  publish("authorization", resource("a", "1", "authorization"), resource("b", "1", "authorization"));
  state.onRequest("authorization", request(), 0);
  ack(sent(), "something went wrong");
  publish("authorization", resource("a", "1", "authorization"), resource("b", "2", "authorization"));
  assert.deepEqual(sent()?.names, ["b"]);
});

test("* subscribed and unsubscribed at once is nothing, and is answered", () => {
  const { state, publish, sent, ack } = open();
  publish("address", resource("a", "1"), resource("own", "1", "workload", { node: "n1" }));
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request({ subscribe: ["*"], unsubscribe: ["*"] }), 0);
  sent();
  const first = sent();
  assert.deepEqual(first?.names, ["own"]);
  ack(first);
  state.onRequest("address", request({ subscribe: ["nobody"] }), 0);
  const answer = sent();
  assert.deepEqual([answer?.names, answer?.removed], [[], ["nobody"]]);
  ack(answer);
  publish("address", resource("a", "2"));
  assert.equal(sent(), undefined, "a is not subscribed");
  publish("address", resource("nobody", "1"));
  assert.deepEqual(sent()?.names, ["nobody"]);
});

test("a new workload of a known service is sent; after unsubscribing nothing is", () => {
  const { state, publish, sent, ack } = open();
  publish(
    "address",
    resource("ns/svc", "1", "service"),
    resource("w1", "1", "workload", { services: ["ns/svc"] }),
  );
  state.onRequest("authorization", request(), 0);
  state.onRequest("address", request({ subscribe: ["ns/svc"] }), 0);
  sent();
  const first = sent();
  assert.deepEqual(first?.names.toSorted(), ["ns/svc", "w1"]);
  ack(first);
  publish("address", resource("w2", "1", "workload", { services: ["ns/svc"] }));
  const second = sent();
  assert.deepEqual(second?.names, ["w2"]);
  ack(second);
  state.onRequest("address", request({ unsubscribe: ["ns/svc", "w1", "w2"] }), 0);
  ack(sent());
  publish("address", resource("w1", "2", "workload", { services: ["ns/svc"] }));
  assert.equal(sent(), undefined);
});

test("silence and falling behind the log are seen", () => {
  const { state, publish, published, sent, ack } = open();
  state.onRequest("authorization", request(), 0);
  const first = sent();
  assert.equal(state.isSilent(60_001, 60_000), true);
  ack(first);
  assert.equal(state.isSilent(60_001, 60_000), false);
  for (let i = 0; i < 5_000; i++) publish("authorization", resource(`p${i}`, "1", "authorization"));
  published.logs.authorization.trim(published.logs.authorization.head, 10);
  assert.equal(state.isBehindLog(), true);
});
