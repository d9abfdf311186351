/** Step 5: what the mesh knows, in the columns that operators are used to. */
import { ambit } from "../ambit-cli.ts";
import type { Tour } from "../tour.ts";
import { CATALOG_POLICY } from "./authorize.ts";

interface View {
  readonly args: readonly string[];
  /** Istioctl's, in its order. */
  readonly columns: string;
  readonly expect: RegExp;
}

const VIEWS: readonly View[] = [
  {
    args: ["ztunnel-config", "workload", "--workload-namespace", "shop"],
    columns: "NAMESPACE POD NAME ADDRESS NODE WAYPOINT PROTOCOL",
    expect: /frontend\S* +\S+ +n1 +None +HBONE/,
  },
  {
    args: ["ztunnel-config", "service", "--service-namespace", "shop"],
    columns: "NAMESPACE SERVICE NAME SERVICE VIP WAYPOINT ENDPOINTS",
    expect: /shop +catalog +\S+ +None +1\/1/,
  },
  {
    args: ["ztunnel-config", "policy"],
    columns: "NAMESPACE POLICY NAME ACTION SCOPE",
    expect: /shop +catalog +Allow +WorkloadSelector/,
  },
  {
    args: ["ztunnel-config", "certificate", "--node", "n1"],
    columns: "CERTIFICATE NAME TYPE STATUS VALID CERT SERIAL NUMBER NOT AFTER NOT BEFORE",
    expect: /spiffe:\/\/cluster\.local\/ns\/shop\/sa\/frontend +Leaf +Available +true/,
  },
  {
    args: ["ztunnel-config", "connections", "--workload-namespace", "shop"],
    columns: "WORKLOAD DIRECTION LOCAL REMOTE REMOTE TARGET PROTOCOL",
    expect: /frontend\S+\.shop +Outbound .* HBONE/,
  },
  {
    args: ["proxy-status"],
    columns: "NAME CLUSTER ISTIOD VERSION SUBSCRIBED TYPES",
    expect:
      /(ztunnel-\S+\.istio-system +Kubernetes +ambit-controller-\S+ +\d+\.\d+\.\d+ +2 \(WADS,WDS\)\s+){2}/,
  },
];

export async function inspect(tour: Tour): Promise<void> {
  await tour.parts.kubectl.apply(CATALOG_POLICY);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  for (const { args, columns, expect } of VIEWS) {
    const table = await ambit(tour, args);
    tour.show(table.split("\n").slice(0, 8).join("\n"));
    const [head = ""] = table.split("\n");
    const shows = head.trim().replaceAll(/\s+/g, " ") === columns && expect.test(table);
    tour.check(shows, `${args.join(" ")} shows it, in istioctl's columns`);
  }
}
