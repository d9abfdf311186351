/**
 * A small mesh of two sources, two destinations and a waypoint, told of changes in order but with any delay, under the real
 * binding machine. Every interleaving is visited; in each state every caller tries everything. For `binding-model.test.ts`.
 */
import { type Binding, pushesOf, type Stage, type StagePushes } from "../waypoints/binding/binding.ts";
import { type BindingFacts, stepBinding } from "../waypoints/binding/binding-machine.ts";

/** What may be done wrong on purpose. */
export interface ModelOptions {
  /** Which bindings cover each of the two destinations. */
  readonly covers: readonly [readonly number[], readonly number[]];
  /** How often each binding's policy may still change: made, changed, deleted. */
  readonly changes: readonly number[];
  /** Bindings that are enforced everywhere to begin with. */
  readonly enforced: readonly number[];
  readonly pushes: (stage: Stage) => StagePushes;
  /** What the machine is told. */
  readonly told: (stage: Stage, facts: BindingFacts) => BindingFacts;
  /** The waypoint's configuration has every policy, not the new one alone. */
  readonly waypointHasAll: boolean;
  /** Whether the older policies rule at destinations in a stage. */
  readonly keepsL4: (stage: Stage) => boolean;
  /** Older direct connections are closed before the next stage. */
  readonly drains: boolean;
  /** `Enforced` is said only when everybody has acknowledged. */
  readonly claimsWhenAcknowledged: boolean;
  /** Callers are held from the beginning. */
  readonly immediately: boolean;
}

export const RIGHT: ModelOptions = {
  covers: [[0], [0]],
  changes: [3],
  enforced: [],
  pushes: pushesOf,
  told: (_stage, facts) => facts,
  waypointHasAll: true,
  keepsL4: () => true,
  drains: true,
  claimsWhenAcknowledged: true,
  immediately: false,
};

/** One binding as published: `policy` 0 is none, 1 and 2 are two versions that forbid different requests. */
interface Part {
  readonly stage: Stage | "none";
  readonly policy: number;
}
type Version = readonly Part[];

/** For S0, S1, D0, D1 and W: what each has, then what is on its way to it; direct connections that may be open, S x D. */
interface State {
  readonly newest: Version;
  readonly queues: readonly (readonly Version[])[];
  readonly open: readonly boolean[];
  readonly changesLeft: readonly number[];
}

const SOURCES = [0, 1] as const;
const DESTINATIONS = [0, 1] as const;
const WAYPOINT = 4;
const TIMES = { drainMs: 1, missingMs: 1, graceMs: 1 };
const LONG_MS = 1_000;
const MAX_STATES = 1_000_000;

export interface ModelResult {
  readonly states: number;
  /** The first wrong thing that happened, and how it came to that. */
  readonly violation: string | undefined;
  /** Stages that were reached. */
  readonly stages: ReadonlySet<string>;
}

export function explore(options: ModelOptions): ModelResult {
  const seen = new Set<string>();
  const stages = new Set<string>();
  const queue: State[] = [firstState(options)];
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    const key = keyOf(state, options);
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > MAX_STATES) throw new Error(`more than ${MAX_STATES} states`);
    for (const part of state.newest) stages.add(part.stage);
    const violation = violationIn(state, options);
    if (violation !== undefined) return { states: seen.size, violation: `${violation}: ${key}`, stages };
    queue.push(...successors(state, options));
  }
  return { states: seen.size, violation: undefined, stages };
}

function firstState(options: ModelOptions): State {
  const version = options.changes.map((_, i): Part =>
    options.enforced.includes(i) ? { stage: "enforced", policy: 1 } : { stage: "none", policy: 0 },
  );
  const open = SOURCES.flatMap(() =>
    DESTINATIONS.map((d) => !options.covers[d].some((i) => options.enforced.includes(i))),
  );
  const queues = [0, 1, 2, 3, WAYPOINT].map(() => [version]);
  return { newest: version, queues, open, changesLeft: options.changes };
}

function keyOf({ newest, queues, open, changesLeft }: State, options: ModelOptions): string {
  return [
    newest.map((part) => `${part.stage}${part.policy}`).join("+"),
    ...queues.map((queue, proxy) => queue.map((version) => relevant(proxy, version, options)).join(">")),
    open.map(Number).join(""),
    changesLeft.join(),
  ].join(" | ");
}

/** What of a version concerns a proxy: where that is the same, nothing is sent, and nothing waited for. */
function relevant(proxy: number, version: Version, options: ModelOptions): string {
  return version
    .map(({ stage, policy }) => {
      const { exempts, binds, denies, hasL4Form } = stage === "none" ? NOTHING : options.pushes(stage);
      const form = hasL4Form && policy > 0;
      if (proxy < 2) return Number(binds);
      const keeps = stage === "none" || options.keepsL4(stage);
      if (proxy < WAYPOINT) return [exempts, denies, form, keeps].map(Number).join("");
      return stage === "none" ? "-" : policy;
    })
    .join(",");
}

const NOTHING: StagePushes = { exempts: false, binds: false, denies: false, hasL4Form: false };

function successors(state: State, options: ModelOptions): readonly State[] {
  return [
    ...deliveries(state, options),
    ...closings(state, options),
    ...policyChanges(state, options),
    ...machineSteps(state, options),
  ];
}

function deliveries(state: State, options: ModelOptions): readonly State[] {
  return state.queues.flatMap((queue, proxy) => {
    if (queue.length === 1) return [];
    const moved = { ...state, queues: state.queues.with(proxy, queue.slice(1)) };
    // Whoever is not bound (any more) may open direct connections.
    const open = state.open.map((was, i) => was || !isBound(moved, i >> 1, i & 1, options));
    return [{ ...moved, open }];
  });
}

/** A source closes an older direct connection once it has been told of the waypoint. */
function closings(state: State, options: ModelOptions): readonly State[] {
  return state.open.flatMap((isOpen, i) =>
    isOpen && isBound(state, i >> 1, i & 1, options) ? [{ ...state, open: state.open.with(i, false) }] : [],
  );
}

function policyChanges(state: State, options: ModelOptions): readonly State[] {
  return state.changesLeft.flatMap((left, i) => {
    const part = state.newest[i];
    if (left === 0 || part === undefined) return [];
    const others = [0, 1, 2].filter((policy) => policy !== part.policy);
    return others.map((policy) => {
      const first = options.immediately ? "denying" : "starting";
      const stage = part.stage === "none" && policy > 0 ? first : part.stage;
      const changed = publish(state, state.newest.with(i, { stage, policy }), options);
      return { ...changed, changesLeft: state.changesLeft.with(i, left - 1) };
    });
  });
}

function machineSteps(state: State, options: ModelOptions): readonly State[] {
  const facts = factsOf(state);
  return state.newest.flatMap((part, i) => {
    if (part.stage === "none") return [];
    const ready = part.stage !== "draining" || !options.drains || !mayBeOpen(state, i, options);
    const binding: Pick<Binding, "stage" | "sinceMs"> = { stage: part.stage, sinceMs: 0 };
    const wanted = options.immediately ? "immediately" : "gradually";
    const step = stepBinding(binding, part.policy > 0 ? wanted : "nothing", options.told(part.stage, facts), {
      nowMs: ready ? LONG_MS : 0,
      times: TIMES,
    });
    if (step.kind === "stay") return [];
    const stage = step.kind === "gone" ? "none" : step.stage;
    return [publish(state, state.newest.with(i, { stage, policy: part.policy }), options)];
  });
}

/** Ztunnels reset what is left at their deadline, which is before the stage's. */
function mayBeOpen(state: State, binding: number, options: ModelOptions): boolean {
  return state.open.some((isOpen, i) => isOpen && options.covers[(i & 1) as 0 | 1].includes(binding));
}

function publish(state: State, version: Version, options: ModelOptions): State {
  const queues = state.queues.map((queue, proxy) => {
    const last = queue.at(-1) ?? [];
    const same = relevant(proxy, last, options) === relevant(proxy, version, options);
    return same ? [...queue.slice(0, -1), version] : [...queue, version];
  });
  return { ...state, newest: version, queues };
}

function factsOf(state: State): BindingFacts {
  const behind = (proxies: readonly number[], name: string): readonly string[] =>
    proxies.filter((proxy) => isBehind(state, proxy)).map((proxy) => `${name}${proxy}`);
  const hasConfig = versionOf(state, WAYPOINT).some(({ stage }) => stage !== "none");
  return {
    published: true,
    readyWaypoints: hasConfig ? 1 : 0,
    waypointsBehind: behind([WAYPOINT], "W"),
    destinationsBehind: behind([2, 3], "D"),
    sourcesBehind: behind([0, 1], "S"),
    sourcesMissing: [],
    watchedMs: LONG_MS,
  };
}

function isBehind({ queues }: State, proxy: number): boolean {
  return (queues[proxy]?.length ?? 0) > 1;
}

function versionOf({ queues }: State, proxy: number): Version {
  return queues[proxy]?.[0] ?? [];
}

function any(
  version: Version,
  bindings: readonly number[] | undefined,
  what: keyof StagePushes,
  options: ModelOptions,
): boolean {
  return version.some(
    ({ stage }, i) => stage !== "none" && (bindings?.includes(i) ?? true) && options.pushes(stage)[what],
  );
}

/** Whether a source sends calls of a destination's pod through the waypoint. */
function isBound(state: State, source: number, destination: number, options: ModelOptions): boolean {
  return any(versionOf(state, source), options.covers[destination as 0 | 1], "binds", options);
}

/** Legitimate: under every version of every policy. Barred: by an older L4 policy. Forbidden: by the version of that number. */
type Caller =
  | { readonly kind: "legitimate" }
  | { readonly kind: "barred" }
  | { readonly kind: "forbidden"; readonly by: number };

const CALLERS: readonly Caller[] = [
  { kind: "legitimate" },
  { kind: "barred" },
  { kind: "forbidden", by: 1 },
  { kind: "forbidden", by: 2 },
];

/** Direct, from wherever. */
function passesDirectly(state: State, destination: 0 | 1, caller: Caller, options: ModelOptions): boolean {
  const version = versionOf(state, 2 + destination);
  const covers = options.covers[destination];
  const rules = version.every(({ stage }) => stage === "none" || options.keepsL4(stage));
  if (caller.kind === "barred" && rules) return false;
  if (any(version, covers, "denies", options)) return false;
  // The L4 form of a policy about requests lets none of them through.
  return !version.some(
    ({ stage, policy }, i) =>
      stage !== "none" && policy > 0 && covers.includes(i) && options.pushes(stage).hasL4Form,
  );
}

/** Without a configuration it is not there: callers wait, and are refused in the end. */
function isWaypointThere(state: State): boolean {
  return versionOf(state, WAYPOINT).some(({ stage }) => stage !== "none");
}

function passesWaypoint(state: State, destination: 0 | 1, caller: Caller, options: ModelOptions): boolean {
  const config = versionOf(state, WAYPOINT);
  if (!isWaypointThere(state)) return false;
  if (state.newest.every(({ stage }) => stage === "none")) return false;
  if (caller.kind === "barred" && options.waypointHasAll) return false;
  const forbids = config.some(
    ({ policy }, i) =>
      options.covers[destination].includes(i) && caller.kind === "forbidden" && caller.by === policy,
  );
  if (forbids) return false;
  // An older policy at the destination refuses whoever it does not know, the waypoint too.
  return any(versionOf(state, 2 + destination), undefined, "exempts", options);
}

function violationIn(state: State, options: ModelOptions): string | undefined {
  for (const destination of DESTINATIONS) {
    const broken = state.open.some(
      (isOpen, i) =>
        isOpen &&
        (i & 1) === destination &&
        !passesDirectly(state, destination, { kind: "legitimate" }, options),
    );
    if (broken && !options.immediately) return "an older connection of a legitimate caller was cut";
    for (const caller of CALLERS) {
      const around = passesDirectly(state, destination, caller, options);
      const through = SOURCES.map((source) =>
        isBound(state, source, destination, options)
          ? passesWaypoint(state, destination, caller, options)
          : around,
      );
      const transit = SOURCES.map((source) =>
        any(versionOf(state, source), undefined, "binds", options)
          ? passesWaypoint(state, destination, caller, options)
          : around,
      );
      const refused = caller.kind === "legitimate" && ![...through, ...transit].every(Boolean);
      if (refused && !mayWait(state, destination, options)) return "a legitimate caller was refused";
      const arrives = around || [...through, ...transit].some(Boolean);
      if (arrives && isForbidden(state, destination, caller, options))
        return `a ${caller.kind} request reached the application`;
    }
  }
  return undefined;
}

/**
 * Callers that are held from the beginning: while a source or the destination has not been told yet some are refused, and then they wait for
 * the waypoint. Once it is there nobody is refused.
 */
function mayWait(state: State, destination: 0 | 1, options: ModelOptions): boolean {
  if (!options.immediately) return false;
  const areTold = [0, 1, 2 + destination].every((proxy) => !isBehind(state, proxy));
  return !areTold || !isWaypointThere(state);
}

function isForbidden(state: State, destination: 0 | 1, caller: Caller, options: ModelOptions): boolean {
  if (caller.kind !== "forbidden") return caller.kind === "barred";
  if (options.immediately && isClosed(state, destination, caller.by, options)) return true;
  const acknowledged = state.queues.every((queue) => queue.length === 1);
  return state.newest.some(
    ({ stage, policy }, i) =>
      stage === "enforced" &&
      policy === caller.by &&
      options.covers[destination].includes(i) &&
      (acknowledged || !options.claimsWhenAcknowledged),
  );
}

/** The destination has been told to refuse everybody but the waypoint, which is not there yet or has the policy. */
function isClosed(state: State, destination: 0 | 1, by: number, options: ModelOptions): boolean {
  const judges = versionOf(state, WAYPOINT);
  return versionOf(state, 2 + destination).some(
    ({ stage, policy }, i) =>
      (stage === "denying" || stage === "enforced") &&
      policy === by &&
      options.covers[destination].includes(i) &&
      (!isWaypointThere(state) || judges[i]?.policy === by),
  );
}
