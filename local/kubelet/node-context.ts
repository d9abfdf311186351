/** What all pods of a node share: addresses, directories, clients, periods. No behaviour here. */
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { HostLayout } from "../node-plan.ts";
import type { CniRuntime } from "./cni/cni-runtime.ts";
import type { ClusterAccess } from "./cluster-access.ts";

export interface NodeContext {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly nodeIp6: string;
  readonly host: HostLayout;
  readonly launcher: string;
  readonly access: ClusterAccess;
  readonly cni: CniRuntime;
  readonly cniConfDirectory: string;
  /** `/var/lib/kubelet/pods` */
  readonly podRoot: string;
  /** `/var/log/pods` */
  readonly logRoot: string;
  readonly netnsDirectory: string;
  readonly dnsServers: readonly string[];
  readonly sandboxRetryMs: number;
  readonly crashBackoffMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}
