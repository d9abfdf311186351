/**
 * Pure. What a replica of the controller tells the others (annotation `ambit.io/replica` of its Lease, JSON): which proxies are connected
 * to it, and for every waypoint whether it has published the present stage and who of them does not act by it yet. Only the mesh's own
 * account writes it; it is read strictly all the same, and what cannot be read counts as "nothing published".
 */
import { type JsonObject, jsonList, jsonObject } from "#core/k8s/json-read.ts";
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
const RESOURCE = /^[^]{1,600}$/;
const VERSION = /^[^]{1,64}$/;
const REASON = /^[^]{1,256}$/;
const MAX_REPLICAS = 64;
const HOLDER = /^[A-Za-z0-9._-]{1,300}$/;
const UID = /^[A-Za-z0-9-]{1,64}$/;
const NAME = /^[a-z0-9.-]{1,253}$/;
const PATH = /^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/;
const PATH_OR_NONE = /^([a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253})?$/;
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
  return readFields(raw);
}

function readFields(raw: JsonObject): Parsed<ReplicaReport> {
  const view = readList(raw["view"], MAX_REPLICAS, (one) => readTexts([one], [HOLDER])?.[0]);
  if (view === undefined) return problem("view", "is malformed");
  const proxies = readList(raw["proxies"], MAX_PROXIES, readProxy);
  if (proxies === undefined) return problem("proxies", "is malformed");
  const uids = proxies.map(({ podUid }) => podUid);
  const gateways = readList(raw["gateways"], MAX_GATEWAYS, (entry) => readGateway(entry, uids));
  if (gateways === undefined) return problem("gateways", "is malformed");
  const refused = readList(raw["refused"], MAX_REFUSALS, readRefusal);
  if (refused === undefined) return problem("refused", "is malformed");
  const byKey = new Map(gateways);
  if (byKey.size !== gateways.length || new Set(uids).size !== uids.length)
    return problem("", "names something twice");
  return parsed({ view, proxies, gateways: byKey, refused });
}

/** Undefined as soon as one entry is not what it should be. */
function readList<T>(
  raw: unknown,
  limit: number,
  read: (entry: unknown) => T | undefined,
): readonly T[] | undefined {
  if (!Array.isArray(raw) || raw.length > limit) return undefined;
  const all = raw.map(read);
  return all.every((one) => one !== undefined) ? all : undefined;
}

/** As many texts as patterns, each of which its text matches. */
function readTexts(raw: readonly unknown[], patterns: readonly RegExp[]): readonly string[] | undefined {
  const texts = raw.flatMap((one) => (typeof one === "string" ? [one] : []));
  const isGood = raw.length === patterns.length && texts.length === patterns.length;
  return isGood && patterns.every((pattern, i) => pattern.test(texts[i] ?? "")) ? texts : undefined;
}

function readProxy(raw: unknown): ReportedProxy | undefined {
  const entry = jsonList(raw);
  const texts = readTexts(entry.slice(0, 4), [UID, PATH, NAME, PATH_OR_NONE]);
  const left = entry[4];
  if (texts === undefined || entry.length !== 5 || (left !== 0 && left !== 1)) return undefined;
  const [podUid = "", pod = "", node = "", waypoint = ""] = texts;
  return { podUid, pod, node, waypoint: waypoint === "" ? undefined : waypoint, hasLeft: left === 1 };
}

function readGateway(raw: unknown, uids: readonly string[]): readonly [string, GatewayReport] | undefined {
  const entry = jsonList(raw);
  const texts = readTexts(entry.slice(0, 2), [PATH, TEXT]);
  const behind = entry.slice(2).map((i) => (typeof i === "number" ? uids[i] : undefined));
  if (texts === undefined || !behind.every((uid) => uid !== undefined)) return undefined;
  const [key = "", text = ""] = texts;
  return [key, { text, behind: new Set(behind) }];
}

function readRefusal(raw: unknown): Refusal | undefined {
  const texts = readTexts(jsonList(raw), [RESOURCE, VERSION, REASON]);
  if (texts === undefined) return undefined;
  const [name = "", version = "", reason = ""] = texts;
  return { name, version, reason };
}
