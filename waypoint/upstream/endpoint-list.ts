/**
 * HOT PATH. The endpoints of what a caller dialled, as they are in one state of the mesh and under one configuration: made once for many requests,
 * and anew when either has changed.
 */
import { endpointCandidates, pickByCapacity } from "#core/state/choose-endpoint.ts";
import type { Workload } from "#core/model/workload.ts";
import type { DestinationRoute } from "../listener/target-route.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import {
  endpointQuery,
  type EndpointOutcome,
  type EndpointSearch,
  findEndpoint,
  reachEndpoint,
} from "./endpoint.ts";

interface Listed {
  readonly workload: Workload;
  readonly outcome: EndpointOutcome;
}

export class EndpointList {
  #version = -1;
  #snapshot: WaypointSnapshot | undefined;
  #listed: readonly Listed[] = [];

  /** As `findEndpoint` would. Equal choices from one state are one object. */
  find(route: DestinationRoute, search: EndpointSearch): EndpointOutcome {
    if (route.kind === "workload" || search.without.length > 0) return findEndpoint(route, search);
    const { view, snapshot, random } = search;
    if (view.version !== this.#version || snapshot !== this.#snapshot) {
      const query = endpointQuery(route, search);
      if (query === undefined) return findEndpoint(route, search);
      this.#listed = endpointCandidates(view, query).map(({ workload, ip, port }) => ({
        workload,
        outcome:
          ip === undefined
            ? { kind: "none", reason: "destination-has-no-address" }
            : reachEndpoint(workload, { ip, port }, search),
      }));
      this.#version = view.version;
      this.#snapshot = snapshot;
    }
    return pickByCapacity(this.#listed, random)?.outcome ?? NONE;
  }
}

const NONE: EndpointOutcome = { kind: "none", reason: "no-healthy-endpoint" };
