/** One tunnel stream of a caller: who it is, what it dialled, and what its requests have in common. */
import { type PeerFacts, peerFacts } from "#core/authz/request/request-facts.ts";
import { parseBaggage } from "#core/hbone/baggage.ts";
import type { KeptLimit } from "#core/handle/kept-bytes.ts";
import { formatTarget } from "#core/hbone/connect-request.ts";
import type { HboneRequest } from "#core/hbone/hbone-request.ts";
import { type SpiffeId, spiffeParts } from "#core/model/spiffe-id.ts";
import { type Workload, workloadIdentity } from "#core/model/workload.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import type { HttpProtocol } from "../http/engines.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { ProxyContext } from "../proxy-context.ts";
import { type Party, partyOfBaggage } from "../report/labels.ts";
import { callerText } from "../report/party-text.ts";
import type { RequestGroup } from "../report/request-metrics.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { EndpointList } from "../upstream/endpoint-list.ts";
import type { LaneOwner, PooledConnection, UpstreamLane } from "../upstream/upstream-lane.ts";
import { isBound } from "./caller-connection.ts";
import type { DestinationRoute } from "./target-route.ts";

/** Workloads are new values with every change of them. */
const MAX_KEPT_GROUPS = 64;

export class Caller implements LaneOwner {
  readonly context: ProxyContext;
  readonly route: DestinationRoute;
  readonly identity: SpiffeId;
  /** End of its certificate (wall clock). */
  readonly notAfterMs: number;
  /** TCP peer of the tunnel. */
  readonly source: SocketAddress;
  readonly peer: PeerFacts;
  /** `:authority` of the CONNECT. */
  readonly dialled: string;
  /** By its address, and only if its certificate agrees: for labels. */
  readonly workload: Workload | undefined;
  readonly party: Party | undefined;
  /** What every log line of it says. */
  readonly logText: string;
  readonly endpoints = new EndpointList();
  /** Of what is kept for readers that pause, on either side of its requests. */
  readonly keptLimit: KeptLimit;
  /** Policies before its destination was no longer bound: it may not have heard of that. */
  farewell: WaypointSnapshot | undefined;
  /** Requests under way. */
  openCalls = 0;
  readonly pinned = new Set<PooledConnection>();
  /** Endpoints are new values with every change of the mesh. */
  readonly #lanes = {
    http1: new WeakMap<Endpoint, UpstreamLane>(),
    http2: new WeakMap<Endpoint, UpstreamLane>(),
  } as const;
  readonly #groups = new Map<Workload | undefined, RequestGroup>();

  constructor(context: ProxyContext, request: HboneRequest, route: DestinationRoute) {
    const { options, mesh } = context.deps;
    const identity = request.peerIdentity;
    const found = mesh.workloads.byAddress({ network: options.network, ip: request.source.ip });
    this.context = context;
    this.route = route;
    this.identity = identity;
    this.keptLimit = context.kept.of(identity);
    this.notAfterMs = request.peerNotAfterMs;
    this.source = request.source;
    this.peer = peerFacts(identity, request.source.ip);
    this.dialled = formatTarget(request.authority);
    this.workload = found !== undefined && workloadIdentity(found) === identity ? found : undefined;
    this.party =
      this.workload ?? partyOfBaggage(parseBaggage(request.baggage), spiffeParts(identity).namespace);
    const service = route.kind === "service" ? route.service : undefined;
    const { source, dialled, workload } = this;
    this.logText = callerText({ source, identity, workload, dialled, service });
  }

  /** Those in force; after the end of the binding the last ones. */
  policies(): WaypointSnapshot | undefined {
    const current = this.context.snapshot();
    return isBound(this.route, current) ? current : (this.farewell ?? current);
  }

  /** HOT PATH: looked up once per endpoint. */
  lane(endpoint: Endpoint, protocol: HttpProtocol): UpstreamLane {
    const lanes = this.#lanes[protocol];
    const known = lanes.get(endpoint);
    if (known?.isGone === false) return known;
    const lane = this.context.upstreams.lane(endpoint, protocol, this.identity);
    lanes.set(endpoint, lane);
    return lane;
  }

  /** HOT PATH: looked up once per endpoint. */
  metricGroup(endpoint: Endpoint | undefined): RequestGroup {
    const known = this.#groups.get(endpoint?.workload);
    if (known?.isForgotten === false) return known;
    const group = this.context.metrics.requests.group({
      source: this.party,
      sourceIdentity: this.identity,
      destination: endpoint?.workload,
      destinationIdentity: endpoint?.identity,
      service: this.route.kind === "service" ? this.route.service : undefined,
    });
    if (this.#groups.size >= MAX_KEPT_GROUPS) this.#groups.clear();
    this.#groups.set(endpoint?.workload, group);
    return group;
  }

  /** Its connection is gone: what belonged to it alone goes too. */
  close(): void {
    for (const { connection } of this.pinned) connection.destroy("its caller is gone");
  }
}
