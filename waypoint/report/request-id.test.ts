import assert from "node:assert/strict";
import { test } from "node:test";
import { newRequestId } from "./request-id.ts";

test("every id is new, and has the form of a UUID", () => {
  const ids = new Set<string>();
  for (let i = 0; i < 1_100_000; i++) ids.add(newRequestId());
  assert.equal(ids.size, 1_100_000);
  for (const id of [...ids].slice(-3)) {
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});
