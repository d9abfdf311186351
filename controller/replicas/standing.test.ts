/** Who may serve. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Departures } from "./departures.ts";
import { standing } from "./standing.ts";

test("a replica that is cut off serves nobody while others may be ahead; alone it keeps the clients that it has", () => {
  const facts = { isFresh: true, hasOthers: true, isCatchingUp: false };
  assert.equal(standing(facts), "serving");
  assert.equal(standing({ ...facts, isFresh: false }), "cut-off");
  assert.equal(standing({ ...facts, isFresh: false, hasOthers: false }), "holding");
  assert.equal(standing({ ...facts, isFresh: false, isCatchingUp: true }), "cut-off");
});

test("after its lease had lapsed it serves nobody, alone or not, before everything has been read anew", () => {
  for (const isFresh of [true, false])
    assert.equal(standing({ isFresh, hasOthers: false, isCatchingUp: true }), "catching-up");
  assert.equal(standing({ isFresh: true, hasOthers: true, isCatchingUp: true }), "catching-up");
});

test("who is connected nowhere has left when all that was written 10 s later is known", () => {
  const departures = new Departures(10_000);
  const recent = (): string => [...departures.recent()].join();
  departures.note(["u", "v"], 0, 0);
  departures.note(["v"], 5_000, 4_000);
  assert.equal(recent(), "u,v");
  departures.note(["v"], 60_000, 9_999);
  assert.equal(recent(), "u,v", "the watch hangs: it may be with a replica that is not known yet");
  departures.note(["v"], 60_001, undefined);
  assert.equal(recent(), "u,v");
  departures.note(["v"], 60_002, 10_000);
  assert.equal(recent(), "v");
  departures.note(["u", "v"], 60_003, 60_000);
  assert.equal(recent(), "v,u");
});
