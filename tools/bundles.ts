/** What becomes a bundle: name and entry file. Daemons always run bundled (half the memory of the sources). */
import { existsSync } from "node:fs";
import { join } from "node:path";

export interface Bundle {
  readonly name: string;
  readonly entry: string;
}

const ALL: readonly Bundle[] = [
  { name: "ztunnel", entry: "ztunnel/main.ts" },
  { name: "waypoint", entry: "waypoint/main.ts" },
  { name: "agent", entry: "istio-cni/agent/main.ts" },
  { name: "controller", entry: "controller/main.ts" },
  { name: "kubelet", entry: "local/kubelet/main.ts" },
  { name: "sample-frontend", entry: "local/samples/frontend.ts" },
  { name: "sample-catalog", entry: "local/samples/catalog.ts" },
  { name: "sample-client", entry: "local/samples/client.ts" },
  { name: "sample-echo", entry: "local/samples/echo.ts" },
  { name: "sample-load", entry: "local/samples/load.ts" },
  { name: "sample-db", entry: "local/samples/db.ts" },
  { name: "sample-db-client", entry: "local/samples/db-client.ts" },
  { name: "sample-talk", entry: "local/samples/talk.ts" },
  { name: "sample-talk-client", entry: "local/samples/talk-client.ts" },
  { name: "identity-probe", entry: "e2e/tour/identity-probe.ts" },
];

export const BUNDLES: readonly Bundle[] = ALL.filter((bundle) =>
  existsSync(join(import.meta.dirname, "..", bundle.entry)),
);
