/**
 * Pure. What the status of a policy says about ports of the pods that it covers: which go past the waypoint because they count as TCP, which of its
 * rules do nothing there, where services disagree, and which annotation about ports cannot be followed.
 */
import { listed } from "../status/listed.ts";
import type { PodWaypoint } from "../mesh-waypoints.ts";
import type { MeshPolicy } from "../translate/mesh-policy.ts";
import { podOwner } from "../translate/pod-owner.ts";
import { type RequestOnlyRule, speaksOfPort } from "../translate/request-only-rules.ts";
import { declarationsOf, directPorts, isTcpDeclared } from "../translate/service-endpoints.ts";

export type CoveredPod = Pick<PodWaypoint, "pod" | "services" | "excluded">;

export interface PortReport {
  /** Sentences without a full stop. */
  readonly notes: readonly string[];
  /** The policy is about services, and whoever calls any port of them goes past the waypoint. */
  readonly judgesNothing: boolean;
}

/** By port, ascending: why it is as it is. */
type Reasons = Map<number, Set<string>>;

interface Ports {
  readonly tcp: Reasons;
  /** Those that services lead to which the policy targets. */
  readonly targeted: { readonly tcp: Reasons; readonly others: Set<number> };
  readonly conflicts: Set<string>;
  readonly malformed: Set<string>;
}

export function portReport(
  { targets, requestOnlyRules }: Pick<MeshPolicy, "targets" | "requestOnlyRules">,
  pods: readonly CoveredPod[],
): PortReport {
  const names = new Set(
    targets.flatMap(({ kind, group, name }) => (kind === "Service" && group === "" ? [name] : [])),
  );
  const ports: Ports = {
    tcp: new Map(),
    targeted: { tcp: new Map(), others: new Set() },
    conflicts: new Set(),
    malformed: new Set(),
  };
  for (const pod of pods) look(pod, names, ports);
  const { tcp, others } = ports.targeted;
  const rules = targets.length > 0 ? aroundTargets(tcp) : silentRules(requestOnlyRules, ports.tcp);
  return {
    notes: [...rules, ...bounded(ports.conflicts), ...bounded(ports.malformed)],
    judgesNothing: tcp.size > 0 && others.size === 0,
  };
}

function look({ pod, services, excluded }: CoveredPod, targets: ReadonlySet<string>, into: Ports): void {
  const { namespace } = pod.metadata;
  const owner = ownerText(pod);
  const by = excluded.by === "namespace" ? `namespace ${namespace}` : owner;
  if (excluded.problem !== undefined)
    into.malformed.add(`${owner}: ${excluded.path} ${excluded.problem}; it excludes nothing`);
  const declarations = declarationsOf(pod, services);
  const direct = directPorts(pod, services, excluded.ports);
  for (const port of new Set([...declarations.keys(), ...excluded.ports])) {
    const declared = declarations.get(port) ?? [];
    const isExcluded = excluded.ports.includes(port);
    const tcp = [
      ...declared.filter(isTcpDeclared).map(({ service }) => `service ${service}`),
      ...(isExcluded ? [`the annotation of ${by}`] : []),
    ];
    const isTargeted = declared.some(({ service }) => targets.has(service.slice(namespace.length + 1)));
    if (direct.includes(port)) {
      add(into.tcp, port, tcp);
      if (isTargeted) add(into.targeted.tcp, port, tcp);
      continue;
    }
    if (isTargeted) into.targeted.others.add(port);
    if (tcp.length === 0) continue;
    const others = declared.filter((one) => !isTcpDeclared(one));
    const http = others.filter(({ protocol }) => protocol !== "unknown");
    into.conflicts.add(conflictText(port, tcp, http.length > 0 ? http : others, http.length > 0));
  }
}

function ownerText(pod: CoveredPod["pod"]): string {
  const { type, name } = podOwner(pod);
  return `${type} ${pod.metadata.namespace}/${name}`;
}

function conflictText(
  port: number,
  tcp: readonly string[],
  others: readonly { readonly service: string }[],
  isHttp: boolean,
): string {
  const whom = listed(others.map(({ service }) => `service ${service}`));
  return isHttp
    ? `port ${port} is TCP by ${listed(tcp)} and HTTP by ${whom}: HTTP wins, so it goes through the waypoint`
    : `port ${port} is TCP by ${listed(tcp)} and undeclared by ${whom}: it goes through the waypoint, which tells by the first bytes`;
}

function add(reasons: Reasons, port: number, why: readonly string[]): void {
  reasons.set(port, new Set([...(reasons.get(port) ?? []), ...why]));
}

function aroundTargets(tcp: Reasons): readonly string[] {
  return tcp.size === 0
    ? []
    : [
        `who calls ${portsText(tcp)} goes past the waypoint and is not judged by it: for these use a selector instead of targetRefs`,
      ];
}

const SILENT: Readonly<Record<RequestOnlyRule["action"], readonly [string, string]>> = {
  deny: [
    "cannot deny anybody on",
    "if HTTP is spoken there, let its service say so; else say whom or which ports the rule is about",
  ],
  allow: [
    "cannot let anybody in on",
    "who is to get in there needs a rule without methods, paths, hosts and headers",
  ],
};

/** Rules that are silent on the same ports are told together. */
function silentRules(rules: readonly RequestOnlyRule[], tcp: Reasons): readonly string[] {
  const silent = rules.flatMap((rule) => {
    const ports = [...tcp].filter(([port]) => speaksOfPort(rule, port));
    return ports.length === 0 ? [] : [{ ...rule, text: portsText(new Map(ports)) }];
  });
  return [...Map.groupBy(silent, ({ action, text }) => `${action} ${text}`).values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    const [does, advice] = SILENT[first.action];
    return [
      `${listed(same.map(({ path }) => path))} (about requests alone) ${does} ${first.text}: ${advice}`,
    ];
  });
}

function portsText(ports: Reasons): string {
  const sorted = [...ports].toSorted(([a], [b]) => a - b);
  return `TCP ports ${listed(sorted.map(([port, why]) => `${port} (by ${listed([...why].toSorted())})`))}`;
}

const MAX_NOTES = 5;

function bounded(notes: ReadonlySet<string>): readonly string[] {
  const sorted = [...notes].toSorted((a, b) => numberIn(a) - numberIn(b) || (a < b ? -1 : 1));
  const more = sorted.length - MAX_NOTES;
  return more > 0 ? [...sorted.slice(0, MAX_NOTES), `and ${more} more notes about ports`] : sorted;
}

/** Of a port that a note begins with. */
function numberIn(note: string): number {
  return Number(/^port (\d+)/.exec(note)?.[1] ?? 0);
}
