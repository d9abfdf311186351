/** What the leader knows about every waypoint, for status. */
import type { PolicyKey } from "#core/model/ids.ts";
import type { WaypointNeeds } from "../needs/needs-waypoint.ts";
import type { Step } from "../binding/binding-machine.ts";

export interface GatewayView {
  /** Versions of policies that everything below is about. */
  readonly generations: ReadonlyMap<PolicyKey, number>;
  /** What keeps the waypoint from being made: somebody else's object of its name, or a failure of the API. */
  readonly obstacle: string | undefined;
  /** What was wrong with the record when it had to be made anew. */
  readonly restored?: string | undefined;
  /** Cluster addresses of its service. */
  readonly addresses: readonly string[];
  readonly readyPods: number;
  /** Connected and ready pods that do not act by the newest configuration yet. */
  readonly behind: readonly string[];
  /** Ztunnels of nodes with served pods that do not act by what was published yet. */
  readonly destinationsBehind: readonly string[];
  /** Nodes whose ztunnel should be connected and is not: nobody waits for them. */
  readonly sourcesMissing: readonly string[];
  /** Whether everything that follows from configuration as it is now has been published. */
  readonly published: boolean;
  /** By `bindingKey`: what a binding waits for. */
  readonly waits: ReadonlyMap<string, Extract<Step, { readonly kind: "stay" }>>;
}

export interface WaypointView {
  readonly needs: WaypointNeeds;
  /** By `namespace/name`. */
  readonly gateways: ReadonlyMap<string, GatewayView>;
}
