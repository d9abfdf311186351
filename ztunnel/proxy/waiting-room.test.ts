import assert from "node:assert/strict";
import { test } from "node:test";
import { podUid } from "#core/model/ids.ts";
import { WaitingRoom } from "./waiting-room.ts";

const [a, b] = [podUid("a"), podUid("b")];

test("has room for so many, and for so many of one pod; leaving makes room once", () => {
  const room = new WaitingRoom({ total: 3, perPod: 2 });
  const leave = room.tryEnter(a);
  assert.ok(leave !== undefined && room.tryEnter(a) !== undefined);
  assert.equal(room.tryEnter(a), undefined, "one pod");
  assert.ok(room.tryEnter(b) !== undefined);
  assert.equal(room.tryEnter(b), undefined, "all together");
  leave();
  leave();
  assert.equal(room.size, 2);
  assert.ok(room.tryEnter(b) !== undefined);
  assert.equal(room.tryEnter(a), undefined);
});
