import assert from "node:assert/strict";
import { test } from "node:test";
import { aroundWaypoint, arrivalsOf, passedIds, unevaluated } from "./arrivals.ts";

const seen = { method: "GET", path: "/items", client: "::ffff:10.0.0.7", id: "one" };
const passed = { request_id: "one", response_code: 200, response_code_details: "via_upstream" };

test("lines that are no requests are left out, and mapped addresses read as IPv4", () => {
  assert.deepEqual(arrivalsOf([{ msg: "started" }, seen]), [{ ...seen, client: "10.0.0.7" }]);
});

test("a request without an id, or with one that the waypoint did not pass on, was not evaluated", () => {
  const ids = passedIds([
    passed,
    { request_id: "two", response_code: 403, response_code_details: "rbac_access_denied" },
  ]);
  const arrivals = arrivalsOf([
    seen,
    { ...seen, id: "two" },
    { ...seen, id: "three" },
    { ...seen, id: undefined },
  ]);
  assert.deepEqual(
    unevaluated(arrivals, ids).map((arrival) => arrival.id),
    ["two", "three", ""],
  );
});

test("a request that the waypoint's log has without an id proves nothing for one without an id", () => {
  const ids = passedIds([
    { ...passed, request_id: undefined },
    { ...passed, request_id: "" },
  ]);
  assert.equal(unevaluated(arrivalsOf([{ ...seen, id: undefined }]), ids).length, 1);
});

test("a request from another address than the waypoint's came around it", () => {
  const arrivals = arrivalsOf([seen, { ...seen, client: "10.0.0.8" }]);
  assert.deepEqual(
    aroundWaypoint(arrivals, ["10.0.0.7"]).map((arrival) => arrival.client),
    ["10.0.0.8"],
  );
});
