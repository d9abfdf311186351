import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { aWorkload } from "#core/testing/builders.ts";
import { createManualClock } from "#core/testing/manual-clock.ts";
import { KeptShares } from "../kept-shares.ts";
import { nativeEngines } from "../http/native-engines.ts";
import type { Endpoint } from "./endpoint.ts";
import { UpstreamPool } from "./upstream-pool.ts";

const FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend" as SpiffeId;

function endpoint(workload: Workload, port = 80): Endpoint {
  return { workload, address: { ip: ip("10.0.0.7"), port }, identity: workloadIdentity(workload) };
}

test("connections are shared by requests of one caller to one endpoint in one protocol, and by no others", async () => {
  const clock = createManualClock();
  const dialer = {
    connect: () => Promise.reject(new Error("nobody dials here")),
    close: () => Promise.resolve(),
  };
  const kept = new KeptShares(1_000_000);
  const pool = new UpstreamPool({ dialer, engines: nativeEngines(clock), kept, clock, dialTimeoutMs: 1_000 });
  const first = aWorkload({ name: "catalog", serviceAccount: "catalog" });
  const lane = pool.lane(endpoint(first), "http1", FRONTEND);
  assert.equal(pool.lane(endpoint({ ...first }), "http1", FRONTEND), lane, "whatever object stands for it");
  const others = [
    pool.lane(endpoint(first), "http2", FRONTEND),
    pool.lane(endpoint(first), "http1", "spiffe://cluster.local/ns/shop/sa/other" as SpiffeId),
    pool.lane(endpoint(first), "http1", "spiffe://elsewhere/ns/shop/sa/frontend" as SpiffeId),
    pool.lane(endpoint(first, 81), "http1", FRONTEND),
    // A pod that took over the address, and one that changed its account.
    pool.lane(endpoint(aWorkload({ name: "next", serviceAccount: "catalog" })), "http1", FRONTEND),
    pool.lane(endpoint({ ...first, serviceAccount: "db" }), "http1", FRONTEND),
  ];
  assert.equal(new Set([lane, ...others]).size, others.length + 1);
  await pool.close();
});
