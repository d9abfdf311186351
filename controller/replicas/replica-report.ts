/**
 * Pure. What a replica of the controller tells the others (annotation `ambit.io/replica` of its Lease, JSON): which proxies are connected
 * to it, and for every waypoint whether it has published the present stage and who of them does not act by it yet. Only the mesh's own
 * account writes it; it is read strictly all the same, and what cannot be read counts as "nothing published".
 */
import { type JsonObject, jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";

/** A connected ztunnel or waypoint, or one that was. */
export interface ReportedProxy {
  readonly podUid: string;
  /** `namespace/pod`. */
  readonly pod: string;
  readonly node: string;
  /** `namespace/gateway` of a waypoint. */
  readonly waypoint: string | undefined;
  /** It has left a moment ago; what it did not have then it may not have now, whatever another replica said before. */
  readonly hasLeft: boolean;
}

export interface GatewayReport {
  /** What all of this is about: `gatewayText`, whose consequences this replica has published. */
  readonly text: string;
  /** Pods' uids of connected proxies that do not act by it yet. */
  readonly behind: ReadonlySet<string>;
}

/** A resource that a connected proxy could not use. */
export interface Refusal {
  readonly name: string;
  readonly version: string;
  readonly reason: string;
}

export interface ReplicaReport {
  /** Which processes live, this one included, as it saw them: all must agree before anything of it counts (`merge-reports.ts`). */
  readonly view: readonly string[];
  readonly proxies: readonly ReportedProxy[];
  /** By `namespace/gateway`. One that is missing has not been published. */
  readonly gateways: ReadonlyMap<string, GatewayReport>;
  readonly refused: readonly Refusal[];
}

export const NO_REPORT: ReplicaReport = { view: [], proxies: [], gateways: new Map(), refused: [] };

const FORM = 1;
/** Of all annotations of an object together Kubernetes takes 262,144 bytes. */
const MAX_BYTES = 200_000;
const MAX_PROXIES = 4_096;
const MAX_GATEWAYS = 4_096;
export const MAX_REFUSALS = 20;
export const MAX_REASON = 256;
const MAX_RESOURCE = 600;
const MAX_REPLICAS = 64;
const HOLDER = /^[A-Za-z0-9._-]{1,300}$/;
const UID = /^[A-Za-z0-9-]{1,64}$/;
const NAME = /^[a-z0-9.-]{1,253}$/;
const PATH = /^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/;
const TEXT = /^[0-9a-f]{32}$/;

/** Undefined for more than fits. Equal reports give equal text. */
export function formatReport(report: ReplicaReport): string | undefined {
  const proxies = report.proxies.toSorted((a, b) => (a.podUid < b.podUid ? -1 : 1));
  const index = new Map(proxies.map(({ podUid }, i) => [podUid, i]));
  const gateways = [...report.gateways]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { text, behind }]) => [
      key,
      text,
      ...[...behind].flatMap((uid) => index.get(uid) ?? []).toSorted((a, b) => a - b),
    ]);
  const text = JSON.stringify({
    form: FORM,
    view: report.view.toSorted(),
    proxies: proxies.map(({ podUid, pod, node, waypoint, hasLeft }) => [
      podUid,
      pod,
      node,
      waypoint ?? "",
      hasLeft ? 1 : 0,
    ]),
    gateways,
    refused: report.refused.map(({ name, version, reason }) => [name, version, reason]),
  });
  const fits =
    report.view.length <= MAX_REPLICAS && proxies.length <= MAX_PROXIES && gateways.length <= MAX_GATEWAYS;
  return fits && Buffer.byteLength(text) <= MAX_BYTES ? text : undefined;
}

/** What a replica says that has more to say than fits: nobody may rely on it. */
export const TOO_MUCH = JSON.stringify({ form: FORM, tooMuch: true });

export function parseReport(text: string): Parsed<ReplicaReport> {
  if (text.length > MAX_BYTES) return problem("", `is longer than ${MAX_BYTES} characters`);
  let raw: JsonObject;
  try {
    raw = jsonObject(JSON.parse(text));
  } catch {
    return problem("", "is not JSON");
  }
  if (raw["form"] !== FORM) return problem("form", "is not known");
  if (Object.keys(raw).toSorted().join() !== "form,gateways,proxies,refused,view")
    return problem("", "has other fields than form, view, gateways, proxies and refused");
  const view = jsonList(raw["view"]).map(jsonText);
  if (!Array.isArray(raw["view"]) || view.length > MAX_REPLICAS || !view.every((name) => HOLDER.test(name)))
    return problem("view", "is malformed");
  const proxies = readAll(raw["proxies"], MAX_PROXIES, readProxy);
  if (proxies === undefined) return problem("proxies", "is malformed");
  const uids = proxies.map(({ podUid }) => podUid);
  const gateways = readAll(raw["gateways"], MAX_GATEWAYS, (entry) => readGateway(entry, uids));
  if (gateways === undefined) return problem("gateways", "is malformed");
  const refused = readAll(raw["refused"], MAX_REFUSALS, readRefusal);
  if (refused === undefined) return problem("refused", "is malformed");
  const byKey = new Map(gateways);
  if (byKey.size !== gateways.length || new Set(uids).size !== uids.length)
    return problem("", "names something twice");
  return parsed({ view, proxies, gateways: byKey, refused });
}

/** Undefined as soon as one entry is not what it should be. */
function readAll<T>(
  raw: unknown,
  limit: number,
  read: (entry: readonly unknown[]) => T | undefined,
): readonly T[] | undefined {
  if (!Array.isArray(raw) || raw.length > limit) return undefined;
  const all = raw.map((entry) => (Array.isArray(entry) ? read(entry) : undefined));
  return all.every((one) => one !== undefined) ? all : undefined;
}

function readProxy(entry: readonly unknown[]): ReportedProxy | undefined {
  const [podUid, pod, node, waypoint] = [0, 1, 2, 3].map((i) => jsonText(entry[i]));
  if (entry.length !== 5 || podUid === undefined || pod === undefined || node === undefined) return undefined;
  const isGood = UID.test(podUid) && PATH.test(pod) && NAME.test(node);
  const left = entry[4];
  if (!isGood || waypoint === undefined || (left !== 0 && left !== 1)) return undefined;
  if (entry[3] !== "" && !PATH.test(waypoint)) return undefined;
  return { podUid, pod, node, waypoint: waypoint === "" ? undefined : waypoint, hasLeft: left === 1 };
}

function readGateway(
  entry: readonly unknown[],
  uids: readonly string[],
): readonly [string, GatewayReport] | undefined {
  const [key, text] = [jsonText(entry[0]), jsonText(entry[1])];
  const behind = entry.slice(2).map((i) => (typeof i === "number" ? uids[i] : undefined));
  if (!PATH.test(key) || !TEXT.test(text) || !behind.every((uid) => uid !== undefined)) return undefined;
  return [key, { text, behind: new Set(behind) }];
}

function readRefusal(entry: readonly unknown[]): Refusal | undefined {
  const [name, version, reason] = jsonList(entry).map(jsonText);
  const isGood = entry.length === 3 && name !== undefined && version !== undefined && reason !== undefined;
  if (!isGood || name === "" || name.length > MAX_RESOURCE || version === "" || version.length > 64)
    return undefined;
  return reason === "" || reason.length > MAX_REASON ? undefined : { name, version, reason };
}
