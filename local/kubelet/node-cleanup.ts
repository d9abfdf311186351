/**
 * What a kubelet does with what an earlier one left on its node: nothing is adopted. Processes of pods are killed, their namespaces,
 * address leases and volumes removed, so that no address stays taken; the pods are then started anew. Where host-local stood in its
 * range is kept: a pod that got the address of one just killed would be sent to the old link-layer address for as long as the
 * node's neighbour entry counts as reachable (45 s).
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { runPlan } from "../launcher/launcher.ts";
import { killCgroup, removeCgroup } from "./cgroups.ts";
import type { NodeContext } from "./node-context.ts";

/** `/run/cni`: leases of host-local and cached results. */
export async function removeLeftovers(context: NodeContext, cniState: string): Promise<number> {
  const group = "kubepods";
  await killCgroup(context.host.cgroups, group, context.clock);
  removeCgroup(context.host.cgroups, group);
  const names = existsSync(context.netnsDirectory)
    ? readdirSync(context.netnsDirectory).filter((name) => name.startsWith("cni-"))
    : [];
  for (const name of names) {
    const path = join(context.netnsDirectory, name);
    runPlan(context.launcher, [], ["/bin/sh", "-c", 'umount -l "$0" 2>/dev/null; exec rm -f "$0"', path]);
  }
  releaseAddresses(join(cniState, "networks"));
  rmSync(join(cniState, "results"), { recursive: true, force: true });
  rmSync(context.podRoot, { recursive: true, force: true });
  return names.length;
}

/** One file an address, beside `last_reserved_ip.<range>` and `lock`. */
function releaseAddresses(networks: string): void {
  if (!existsSync(networks)) return;
  for (const network of readdirSync(networks)) {
    for (const file of readdirSync(join(networks, network)))
      if (isIP(file) !== 0) rmSync(join(networks, network, file), { force: true });
  }
}
