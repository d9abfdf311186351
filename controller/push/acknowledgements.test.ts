/** When a client counts as having everything up to a mark in force. Too early would let an order be broken. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeResourceEntry, type DeltaRequest } from "#core/wire/xds-codec.ts";
import { decodeDeltaResponse } from "#core/wire/xds-codec.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import { hasAcknowledged, markOf, type PublishedMark } from "./acknowledgements.ts";
import { PublishedState, type ResourceType } from "./published-state.ts";
import { FrameCache, TYPE_URLS } from "./range-frame.ts";
import { type OutgoingFrame, StreamState } from "./stream-state.ts";

const TYPES: readonly ResourceType[] = ["authorization", "address"];

function resource(type: ResourceType, name: string, version: string): EncodedResource {
  const body = Buffer.from(version);
  const entry = encodeResourceEntry({ name, version, typeUrl: TYPE_URLS[type], body, aliases: [] });
  const kind = type === "address" ? "workload" : type;
  return { kind, name, version, body, entry, aliases: [], services: [], node: "" };
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

class Client {
  readonly published = new PublishedState();
  readonly state = new StreamState({
    epoch: "e",
    published: this.published,
    frames: new FrameCache(this.published),
    node: "n",
  });

  publish(type: ResourceType, name: string, version: string | undefined): PublishedMark {
    const value = version === undefined ? undefined : resource(type, name, version);
    this.published.publish(type, new Map([[name, value]]));
    return markOf(this.published);
  }

  subscribe(): void {
    for (const type of TYPES) this.state.onRequest(type, request(), 0);
  }

  next(): OutgoingFrame | undefined {
    return this.state.next(0);
  }

  answer(frame: OutgoingFrame | undefined, error?: string): void {
    assert.ok(frame !== undefined, "there was nothing to answer");
    const decoded = decodeDeltaResponse(frame.bytes);
    assert.ok(decoded.ok);
    const { nonce } = decoded.value;
    this.state.onRequest(
      frame.type,
      request({ responseNonce: nonce, error: error === undefined ? undefined : { code: 3, message: error } }),
      0,
    );
  }

  /** Sends and acknowledges until nothing is left. */
  settle(): void {
    for (let frame = this.next(); frame !== undefined; frame = this.next()) this.answer(frame);
  }

  has(mark: PublishedMark, concerns: (type: ResourceType, name: string) => boolean = () => true): boolean {
    return hasAcknowledged(this.state, { types: TYPES, mark, concerns }, this.published);
  }
}

test("nobody has anything before the first answer, not even nothing", () => {
  const client = new Client();
  const mark = markOf(client.published);
  assert.equal(client.has(mark), false, "it has not asked");
  client.subscribe();
  assert.equal(client.has(mark), false, "it has asked");
  const frame = client.next();
  assert.equal(client.has(mark), false, "it has been answered");
  client.answer(frame);
  assert.equal(client.has(mark), false, "one type of two");
  client.settle();
  assert.equal(client.has(mark), true);
});

test("a change counts when its response has been acknowledged, not when it has been sent", () => {
  const client = new Client();
  client.subscribe();
  client.settle();
  const mark = client.publish("authorization", "shop/p", "1");
  assert.equal(client.has(mark), false, "published");
  const frame = client.next();
  assert.equal(client.has(mark), false, "sent");
  const later = client.publish("authorization", "shop/q", "1");
  client.answer(frame);
  assert.equal(client.has(mark), true, "acknowledged");
  assert.equal(client.has(later), false, "the later one was not in it");
  client.settle();
  assert.equal(client.has(later), true);
});

test("a refused response does not count, nor does what comes after it, until the refused resource is another", () => {
  const client = new Client();
  client.subscribe();
  client.settle();
  const mark = client.publish("authorization", "shop/p", "1");
  client.answer(client.next(), "shop/p: cannot be read");
  assert.equal(client.has(mark), false, "refused");
  const after = client.publish("authorization", "shop/q", "1");
  client.settle();
  assert.equal(client.has(after), false, "q is in force, p is not");
  assert.equal(
    client.has(after, (_type, name) => name.startsWith("other/")),
    true,
    "whoever is not concerned does not wait",
  );
  const fixed = client.publish("authorization", "shop/p", "2");
  client.settle();
  assert.equal(client.has(fixed), true);
});

test("a removed policy counts when its removal has been acknowledged, which waits for addresses", () => {
  const client = new Client();
  client.publish("authorization", "shop/p", "1");
  client.publish("address", "w", "names p");
  client.subscribe();
  client.settle();
  client.published.publish("authorization", new Map([["shop/p", undefined]]));
  client.published.publish("address", new Map([["w", resource("address", "w", "names nothing")]]));
  const mark = markOf(client.published);
  const steps: string[] = [];
  for (let frame = client.next(); frame !== undefined; frame = client.next()) {
    steps.push(frame.type);
    assert.equal(client.has(mark), false, `${steps.join()} sent`);
    client.answer(frame);
  }
  assert.deepEqual(steps.filter((type) => type === "authorization").length > 0, true);
  assert.equal(client.has(mark), true);
});

test("a client that connects again has nothing until it has all of it", () => {
  const client = new Client();
  const mark = client.publish("address", "w", "1");
  client.state.onRequest(
    "authorization",
    request({ initialResourceVersions: new Map([["shop/old", "1"]]) }),
    0,
  );
  client.state.onRequest("address", request({ initialResourceVersions: new Map([["w", "1"]]) }), 0);
  assert.equal(client.has(mark), false);
  client.settle();
  assert.equal(client.has(mark), true);
});
