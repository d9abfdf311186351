/** Tunnels to destinations that end, as when a ztunnel is replaced or dies: connections inside of them are used no more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./apps.ts";
import { FRONTEND, limits, withCatalog } from "./catalog.ts";

test("a tunnel that takes no new streams gets no new requests either, and its end costs none", limits, () =>
  withCatalog(async ({ waypoint, pod, catalog }) => {
    const caller = await waypoint.http(FRONTEND, catalog.address);
    assert.equal((await caller.get("/before")).status, 200);
    assert.equal(pod.tunnels, 1);
    pod.drain();
    for (let i = 0; i < 20 && pod.tunnels === 1; i++) {
      assert.equal((await caller.request("POST", "/meanwhile", {}, "body")).status, 200);
    }
    assert.equal(pod.tunnels, 2, "requests go by another tunnel");
  }),
);

test("a tunnel that is lost under many connections: the request is sent on another one", limits, () => {
  const held: (() => void)[] = [];
  return withCatalog(
    async ({ waypoint, app, pod, catalog }) => {
      const callers = await Promise.all(
        Array.from({ length: 6 }, () => waypoint.http(FRONTEND, catalog.address)),
      );
      const first = callers.map((caller) => caller.get("/slow"));
      await eventually("all are under way", () => held.length === callers.length);
      for (const answer of held.splice(0)) answer();
      for (const answer of await Promise.all(first)) assert.equal(answer.status, 200);
      const last = callers[0]?.get("/slow");
      await eventually("one is under way", () => held.length === 1);
      pod.cut();
      await eventually("it is sent again", () => held.length === 2);
      for (const answer of held.splice(0)) answer();
      assert.equal((await last)?.status, 200);
      assert.equal(app.requests.length, callers.length + 2);
      assert.equal(waypoint.access().at(-1)?.["retries"], 1);
    },
    {
      answer: (_request, response) => {
        held.push(() => response.end("late"));
      },
    },
  );
});
