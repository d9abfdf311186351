/** Pure. The tables of `ambit proxy-status`. */
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { renderTable } from "../render/table.ts";
import type { ClientStatus, TypeStatus } from "./sync-status.ts";

export interface ControllerStatus {
  /** The controller's pod. */
  readonly pod: string;
  readonly clients: readonly ClientStatus[];
}

/** Short names in the order in which istioctl lists them; other types follow by URL. */
const SHORT_NAMES: readonly (readonly [typeUrl: string, name: string])[] = [
  ["type.googleapis.com/envoy.config.cluster.v3.Cluster", "CDS"],
  ["type.googleapis.com/envoy.config.listener.v3.Listener", "LDS"],
  ["type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "EDS"],
  ["type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "RDS"],
  ["type.googleapis.com/istio.security.Authorization", "WADS"],
  ["type.googleapis.com/istio.workload.Address", "WDS"],
  ["type.googleapis.com/istio.workload.Workload", "WDS"],
  [TYPE_URL_WAYPOINT, "WAYPOINT"],
];

/** NAME, CLUSTER, ISTIOD, VERSION, SUBSCRIBED TYPES */
export function statusTable(controllers: readonly ControllerStatus[]): string {
  return renderTable(
    ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
    rowsOf(controllers).map(({ pod, client }) => {
      const subscribed = client.types.filter((type) => type.status !== "IGNORED");
      const names = typeOrder(subscribed).map((type) => shortName(type.typeUrl));
      return [client.proxy, client.cluster, pod, client.version, `${names.length} (${names.join(",")})`];
    }),
    { padding: 5 },
  );
}

/** One column per type, with the age of the last change. */
export function verboseStatusTable(controllers: readonly ControllerStatus[], nowMs: number): string {
  const rows = rowsOf(controllers);
  const columns = [
    ...new Set(typeOrder(rows.flatMap(({ client }) => client.types)).map((type) => shortName(type.typeUrl))),
  ];
  return renderTable(
    ["NAME", "CLUSTER", ...columns, "ISTIOD", "VERSION"],
    rows.map(({ pod, client }) => [
      client.proxy,
      client.cluster,
      ...columns.map((column) => cellOf(client, column, nowMs)),
      pod,
      client.version,
    ]),
    { padding: 5 },
  );
}

/** Whether a client has refused what it was sent, or does not keep up. */
export function unhealthyTypes(client: ClientStatus): readonly TypeStatus[] {
  return client.types.filter((type) => type.status === "ERROR");
}

export function shortName(typeUrl: string): string {
  return SHORT_NAMES.find(([url]) => url === typeUrl)?.[1] ?? typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

function rowsOf(
  controllers: readonly ControllerStatus[],
): readonly { readonly pod: string; readonly client: ClientStatus }[] {
  return controllers
    .flatMap(({ pod, clients }) => clients.map((client) => ({ pod, client })))
    .toSorted((a, b) => (a.client.proxy < b.client.proxy ? -1 : 1));
}

function typeOrder(types: readonly TypeStatus[]): readonly TypeStatus[] {
  const rank = (type: TypeStatus): number => {
    const at = SHORT_NAMES.findIndex(([url]) => url === type.typeUrl);
    return at < 0 ? SHORT_NAMES.length : at;
  };
  return types.toSorted((a, b) => rank(a) - rank(b) || (a.typeUrl < b.typeUrl ? -1 : 1));
}

function cellOf(client: ClientStatus, column: string, nowMs: number): string {
  const type = client.types.find((t) => shortName(t.typeUrl) === column);
  if (type === undefined) return "IGNORED";
  const updatedMs = Date.parse(type.lastUpdated);
  return Number.isNaN(updatedMs) ? type.status : `${type.status} (${ageText(nowMs - updatedMs)})`;
}

/** `10s`, `3m`, `5h`, `2d`: as kubectl shows ages. */
function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
