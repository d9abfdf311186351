/** The Kubernetes API out of reach of every node and pod; whoever runs the suite still has it. */
import type { Mesh } from "./mesh.ts";
import { inNetnsOf } from "./node-inside.ts";

/** Connections that are open end by a reset, as when an API server is restarted. */
const RULES = `
  table inet e2e_no_api {
    chain in { type filter hook input priority -10; tcp dport { 443, 6443 } reject with tcp reset; }
  }`;

export async function withoutApi(mesh: Mesh, work: () => Promise<void>): Promise<void> {
  const nodes = mesh.cluster.nodes.map((node) => node.netns);
  for (const netns of nodes) await inNetnsOf(netns, ["nft", RULES]);
  try {
    await work();
  } finally {
    for (const netns of nodes) await inNetnsOf(netns, ["nft", "delete table inet e2e_no_api"]);
  }
}
