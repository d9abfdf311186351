/** The debug endpoint on loopback: what each client has, what it should have, and what has no effect. Read-only. */
import { hash } from "node:crypto";
import { decodeAddress } from "#core/wire/address-codec.ts";
import { decodeAuthorization } from "#core/wire/authorization-codec.ts";
import type { EndpointHandler, EndpointReply } from "#core/runtime/http-endpoint.ts";
import { describeCollections, describeKey } from "../collections/debug.ts";
import type { Collection } from "../collections/collection.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import type { MeshIndex } from "../mesh-index.ts";
import { allProblems } from "../problems.ts";
import type { ClientStream } from "../push/client-stream.ts";
import type { ClientType } from "../push/node-id.ts";
import type { ResourceType } from "../push/published-state.ts";
import { TYPE_URLS } from "../push/range-frame.ts";
import type { TypeState } from "../push/type-state.ts";

export interface DebugDeps {
  readonly index: MeshIndex;
  readonly streams: () => readonly ClientStream[];
  readonly clusterId: string;
  readonly monotonicNowMs: () => number;
  readonly nowMs: () => number;
  /** Facts for `/debug/health`. */
  readonly health: () => Readonly<Record<string, unknown>>;
}

export function debugHandlers(deps: DebugDeps): Readonly<Record<string, EndpointHandler>> {
  const { index } = deps;
  return {
    "GET /debug/syncz": () =>
      json({ resources: deps.streams().flatMap((stream) => clientConfig(stream, deps)) }),
    "GET /debug/ambientz": () => json(ambient(index)),
    "GET /debug/problems": () => json(allProblems(index)),
    "GET /debug/health": () => json(deps.health()),
    "GET /debug/collections": () => json(describeCollections(graph(index))),
    "GET /debug/explain": (url) => explain(index, url),
  };
}

const TYPES_OF: Readonly<Record<ClientType, readonly ResourceType[]>> = {
  ztunnel: ["authorization", "address"],
  waypoint: ["waypoint", "address"],
};

function clientConfig(stream: ClientStream, deps: DebugDeps): readonly object[] {
  const { client, state, caller, connectedMs } = stream;
  if (client === undefined || state === undefined) return [];
  const sinceMs = deps.nowMs() - deps.monotonicNowMs();
  return [
    {
      node: {
        id: client.id,
        metadata: { CLUSTER_ID: deps.clusterId, ISTIO_VERSION: client.version, NODE_NAME: caller.nodeName },
      },
      connectedAt: new Date(connectedMs).toISOString(),
      genericXdsConfigs: TYPES_OF[client.type].map((type) => {
        const one = state.types.get(type);
        return {
          typeUrl: TYPE_URLS[type],
          configStatus: syncStatus(one),
          lastUpdated: one === undefined ? "" : new Date(sinceMs + one.lastChangeMs).toISOString(),
          ...(one !== undefined && one.lastNack !== "" && { errorState: { details: one.lastNack } }),
        };
      }),
    },
  ];
}

/** Istio's words. */
function syncStatus(state: TypeState | undefined): string {
  if (state === undefined) return "IGNORED";
  if (state.lastNack !== "") return "ERROR";
  if (state.sentNonce === "") return "NOT_SENT";
  return state.ackedNonce === state.sentNonce ? "SYNCED" : "STALE";
}

function ambient(index: MeshIndex): object {
  const addresses = [...index.addresses.values()].toSorted(byName).map((resource) => {
    const decoded = decodeAddress(resource.body);
    return decoded.ok ? decoded.value : undefined;
  });
  return {
    workloads: addresses.flatMap((a) => (a?.kind === "workload" ? [a.workload] : [])),
    services: addresses.flatMap((a) => (a?.kind === "service" ? [a.service] : [])),
    policies: [...index.authorizations.values()].toSorted(byName).flatMap((resource) => {
      const decoded = decodeAuthorization(resource.body);
      return decoded.ok ? [decoded.value] : [];
    }),
    version: stateVersion(index),
  };
}

/** Equal on replicas that have the same state. */
function stateVersion(index: MeshIndex): string {
  const versions = [
    ...index.addresses.values(),
    ...index.authorizations.values(),
    ...index.waypointConfigs.values(),
  ].map((r) => `${r.kind} ${r.name} ${r.version}`);
  return hash("sha256", versions.toSorted().join("\n"), "hex").slice(0, 16);
}

function byName(a: EncodedResource, b: EncodedResource): number {
  return a.name < b.name ? -1 : 1;
}

function graph(index: MeshIndex): readonly Collection<never>[] {
  return [
    ...index.policies.collections(),
    index.waypoints.gateways,
    index.waypoints.pods,
    index.waypoints.services,
    index.pushedAuthorizations,
    index.workloads,
    index.services,
    index.sliceWorkloads,
    index.addresses,
    index.authorizations,
    index.waypointConfigs,
  ] as readonly Collection<never>[];
}

/** `?collection=workloads&key=shop/catalog`: what a result was computed from. */
function explain(index: MeshIndex, url: URL): EndpointReply {
  const name = url.searchParams.get("collection") ?? "";
  const collection = graph(index).find((candidate) => candidate.name === name);
  if (collection === undefined) return { status: 404, body: "no such collection, see /debug/collections\n" };
  return json(describeKey(collection, url.searchParams.get("key") ?? ""));
}

function json(value: unknown): EndpointReply {
  const body = JSON.stringify(
    value,
    (_key, item: unknown) => (item instanceof Map ? Object.fromEntries(item) : item),
    2,
  );
  return { status: 200, body: `${body}\n`, contentType: "application/json" };
}
