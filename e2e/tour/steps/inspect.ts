/** Step 5: what the mesh knows, in the columns that operators are used to. */
import { ambit } from "../ambit-cli.ts";
import type { Tour } from "../tour.ts";
import { CATALOG_POLICY } from "./authorize.ts";

const VIEWS: readonly { readonly args: readonly string[]; readonly expect: RegExp }[] = [
  {
    args: ["ztunnel-config", "workload", "--workload-namespace", "shop"],
    expect: /frontend\S* +\S+ +n1 +None +HBONE/,
  },
  {
    args: ["ztunnel-config", "service", "--service-namespace", "shop"],
    expect: /shop +catalog +\S+ +None +1\/1/,
  },
  { args: ["ztunnel-config", "policy"], expect: /shop +catalog +Allow +WorkloadSelector/ },
  {
    args: ["ztunnel-config", "certificate", "--node", "n1"],
    expect: /spiffe:\/\/cluster\.local\/ns\/shop\/sa\/frontend +Leaf +Available +true/,
  },
  { args: ["ztunnel-config", "connections", "--workload-namespace", "shop"], expect: /HBONE/ },
  { args: ["proxy-status"], expect: /ztunnel-\S+\.istio-system/ },
];

export async function inspect(tour: Tour): Promise<void> {
  await tour.parts.kubectl.apply(CATALOG_POLICY);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  for (const { args, expect } of VIEWS) {
    const table = await ambit(tour, args);
    tour.show(table.split("\n").slice(0, 8).join("\n"));
    tour.check(expect.test(table), `${args.join(" ")} shows it`);
  }
}
