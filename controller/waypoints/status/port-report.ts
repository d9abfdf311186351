/**
 * Pure. What the status of a policy says about ports of the pods that it covers: which go past the waypoint because they count as TCP, which of its
 * rules do nothing there, where services disagree, and which annotation about ports cannot be followed.
 */
import { listed } from "../../status/listed.ts";
import type { PodWaypoint } from "../../mesh-waypoints.ts";
import type { MeshPolicy } from "../../translate/mesh-policy.ts";
import { targetedServices } from "../../translate/policy-targets.ts";
import { podOwner } from "../../translate/pod-owner.ts";
import { type RequestOnlyRule, speaksOfPort } from "../../translate/request-only-rules.ts";
import {
  declarationsOf,
  directPorts,
  isTcpDeclared,
  type PortDeclaration,
} from "../../translate/service-endpoints.ts";

export type CoveredPod = Pick<PodWaypoint, "pod" | "services" | "excluded">;

export interface PortReport {
  /** Sentences without a full stop. */
  readonly notes: readonly string[];
  /** The policy is about services, and whoever calls any port of them goes past the waypoint. */
  readonly judgesNothing: boolean;
}

/** By port, ascending: why it is as it is. */
type Reasons = Map<number, Set<string>>;

/** What is to be known of one pod, whatever policy asks. */
interface PodPorts {
  readonly tcp: readonly PodPort[];
  /** Which go through the waypoint. */
  readonly others: readonly PodPort[];
  readonly conflicts: readonly string[];
  readonly malformed: readonly string[];
}

interface PodPort {
  readonly port: number;
  /** Who says that it is TCP. */
  readonly why: readonly string[];
  /** Names of services that lead to it, of the pod's namespace. */
  readonly services: readonly string[];
}

export function portReport(
  { targets, requestOnlyRules }: Pick<MeshPolicy, "targets" | "requestOnlyRules">,
  pods: readonly CoveredPod[],
): PortReport {
  const names = new Set(targetedServices(targets));
  const isTargeted = ({ services }: PodPort): boolean => services.some((name) => names.has(name));
  const tcp: Reasons = new Map();
  const targeted: Reasons = new Map();
  const conflicts = new Set<string>();
  const malformed = new Set<string>();
  let isJudged = false;
  for (const pod of pods) {
    const ports = portsOf(pod);
    for (const one of ports.tcp) add(isTargeted(one) ? [tcp, targeted] : [tcp], one);
    isJudged ||= ports.others.some(isTargeted);
    for (const text of ports.conflicts) conflicts.add(text);
    for (const text of ports.malformed) malformed.add(text);
  }
  const rules = targets.length > 0 ? aroundTargets(targeted) : silentRules(requestOnlyRules, tcp);
  return {
    notes: [...rules, ...bounded(conflicts), ...bounded(malformed)],
    judgesNothing: targeted.size > 0 && !isJudged,
  };
}

/** Pods change seldom, and are asked about for every policy each time. */
const known = new WeakMap<CoveredPod, PodPorts>();

function portsOf(pod: CoveredPod): PodPorts {
  const found = known.get(pod) ?? look(pod);
  known.set(pod, found);
  return found;
}

function look({ pod, services, excluded }: CoveredPod): PodPorts {
  const { namespace } = pod.metadata;
  const owner = ownerText(pod);
  const by = excluded.by === "namespace" ? `namespace ${namespace}` : owner;
  const declarations = declarationsOf(pod, services);
  const direct = directPorts(pod, services, excluded.ports);
  const ports = [...new Set([...declarations.keys(), ...excluded.ports])].map((port) => {
    const declared = declarations.get(port) ?? [];
    const why = [
      ...declared.filter(isTcpDeclared).map(({ service }) => `service ${service}`),
      ...(excluded.ports.includes(port) ? [`the annotation of ${by}`] : []),
    ];
    return {
      port,
      why,
      declared,
      services: declared.map(({ service }) => service.slice(namespace.length + 1)),
    };
  });
  const others = ports.filter(({ port }) => !direct.includes(port));
  return {
    tcp: ports.filter(({ port }) => direct.includes(port)),
    others,
    conflicts: others
      .filter(({ why }) => why.length > 0)
      .map(({ port, why, declared }) => conflictText(port, why, declared)),
    malformed:
      excluded.problem === undefined
        ? []
        : [`${owner}: ${excluded.path} ${excluded.problem}; it excludes nothing`],
  };
}

function ownerText(pod: CoveredPod["pod"]): string {
  const { type, name } = podOwner(pod);
  return `${type} ${pod.metadata.namespace}/${name}`;
}

function conflictText(port: number, tcp: readonly string[], declared: readonly PortDeclaration[]): string {
  const others = declared.filter((one) => !isTcpDeclared(one));
  const http = others.filter(({ protocol }) => protocol !== "unknown");
  const names = (list: readonly PortDeclaration[]): string =>
    listed(list.map(({ service }) => `service ${service}`));
  return http.length > 0
    ? `port ${port} is TCP by ${listed(tcp)} and HTTP by ${names(http)}: HTTP wins, so it goes through the waypoint`
    : `port ${port} is TCP by ${listed(tcp)} and undeclared by ${names(others)}: it goes through the waypoint, which tells by the first bytes`;
}

function add(into: readonly Reasons[], { port, why }: PodPort): void {
  for (const reasons of into) {
    const all = reasons.get(port) ?? new Set();
    for (const reason of why) all.add(reason);
    reasons.set(port, all);
  }
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
    "refuses whatever begins like HTTP, and nothing else, on",
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
