/**
 * The waypoint as it runs, with its mesh and certificate given instead of fetched: `waypoint-main.ts IP PORT CA-FOLDER CLIENT-IP`.
 * Policy, metrics and access log (standard error) are on.
 */
import { systemClock } from "#core/base/clock.ts";
import { createWatchValue } from "#core/base/watch-value.ts";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { createLog } from "#core/runtime/log.ts";
import { MeshState } from "#core/state/mesh-state.ts";
import { serveWaypoint } from "#waypoint/serve-waypoint.ts";
import { Registry } from "prom-client";
import { benchWorkloads, CONFIG, GATEWAY, SERVICE } from "./bench-mesh.ts";
import { benchIdentity, meshCa, TRUST_DOMAIN } from "./open-transport.ts";

const [address = "", port = "0", caDirectory = "", clientIp = ""] = process.argv.slice(2);
const mesh = new MeshState();
mesh.commit({
  upserts: [
    { kind: "service", service: SERVICE },
    ...benchWorkloads(clientIp).map((workload) => ({ kind: "workload", workload }) as const),
  ],
  removals: [],
});
const identity = benchIdentity(GATEWAY);
const certificate = meshCa(caDirectory).issueNow(identity);
const server = await serveWaypoint(
  {
    options: {
      namespace: "bench",
      gateway: GATEWAY,
      identity,
      network: "",
      clusterId: "Kubernetes",
      node: "node-b",
      trustDomains: [TRUST_DOMAIN],
      port: Number(port),
      connectTimeoutMs: 1_000,
    },
    mesh,
    config: createWatchValue<WaypointConfig | undefined>(CONFIG),
    certificate: { current: () => certificate },
    backend: chooseBackend(),
    metrics: new Registry(),
    clock: systemClock,
    log: createLog("waypoint", { level: "info" }).root.child("proxy"),
    random: Math.random,
  },
  { address },
);
process.on("SIGTERM", () => process.exit(0));
process.stdout.write(`${JSON.stringify({ event: "ready", port: server.port })}\n`);
