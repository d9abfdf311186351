/**
 * Two sources, one destination and three waypoints, told of changes in order but with any delay, while the label of a namespace changes under an
 * enforced policy. Every interleaving is visited, under the real graph and the real machine. For `takeover-model.test.ts`.
 */
import type { Stage } from "../waypoints/binding/binding.ts";
import type { BindingFacts } from "../waypoints/binding/binding-machine.ts";
import { nextStep, stagesOf } from "../waypoints/loop/next-step.ts";
import { type Meaning, meaningOf, type Waypoint, WAYPOINTS, type Wish, wishKey } from "./takeover-meaning.ts";

/** What may be done wrong on purpose. */
export interface TakeoverOptions {
  /** What labels may name, one after the other. */
  readonly labels: readonly Waypoint[];
  /** What the machine is told. */
  readonly told: (waypoint: Waypoint, facts: BindingFacts) => BindingFacts;
  /** Older connections get their time. */
  readonly drains: boolean;
  /** What follows from labels and records. */
  readonly meaning: (wish: Wish) => Meaning;
}

export const RIGHT_TAKEOVER: TakeoverOptions = {
  labels: ["own", "auto"],
  told: (_waypoint, facts) => facts,
  drains: true,
  meaning: meaningOf,
};

/** For S0, S1, D and the waypoints: what each has, then what is on its way to it. */
interface State {
  readonly wish: Wish;
  readonly queues: readonly (readonly Meaning[])[];
  /** Connections of each source through each waypoint. */
  readonly open: readonly boolean[];
  readonly labelsLeft: readonly Waypoint[];
}

const SOURCES = [0, 1] as const;
const DESTINATION = 2;
const FIRST_WAYPOINT = 3;
const TIMES = { drainMs: 1, missingMs: 1, graceMs: 1 };
const LONG_MS = 1_000;
const MAX_STATES = 400_000;

export interface TakeoverResult {
  readonly states: number;
  readonly violation: string | undefined;
  /** Waypoints that were in force where nothing more happens. */
  readonly ends: ReadonlySet<string>;
}

export function exploreTakeover(options: TakeoverOptions): TakeoverResult {
  const seen = new Set<string>();
  const ends = new Set<string>();
  const queue = [firstState(options)];
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    const key = keyOf(state);
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > MAX_STATES) throw new Error(`more than ${MAX_STATES} states`);
    const violation = violationIn(state);
    if (violation !== undefined) return { states: seen.size, violation: `${violation}: ${key}`, ends };
    const next = successors(state, options);
    if (next.length === 0) ends.add(`${state.wish.label}: ${describe(state)}`);
    queue.push(...next);
  }
  return { states: seen.size, violation: undefined, ends };
}

function firstState(options: TakeoverOptions): State {
  const wish: Wish = { label: "auto", stages: { auto: "enforced", own: "none", new: "none" } };
  const meaning = options.meaning(wish);
  return {
    wish,
    queues: [0, 1, DESTINATION, 3, 4, 5].map(() => [meaning]),
    open: SOURCES.flatMap(() => WAYPOINTS.map((one) => one === "auto")),
    labelsLeft: options.labels,
  };
}

function describe({ wish, queues }: State): string {
  const { via, admits } = (queues[0] ?? [])[0] ?? {};
  return `via ${via}, ${admits?.join("+") ?? "anybody"}, ${WAYPOINTS.map((one) => wish.stages[one]).join(" ")}`;
}

/** Sources are alike: which of them is where makes no difference. */
function keyOf({ wish, queues, open, labelsLeft }: State): string {
  const told = queues.map((queue, proxy) => queue.map((meaning) => relevant(proxy, meaning)).join(">"));
  const sources = SOURCES.map(
    (source) =>
      `${told[source]} ${open
        .slice(3 * source, 3 * source + 3)
        .map(Number)
        .join("")}`,
  );
  return [wishKey(wish), ...sources.toSorted(), ...told.slice(DESTINATION), labelsLeft.join()].join(" | ");
}

/** What of it concerns a proxy: where that is the same, nothing is sent. */
function relevant(proxy: number, { via, admits, judges }: Meaning): string {
  if (proxy < DESTINATION) return via;
  if (proxy === DESTINATION) return admits?.join("+") ?? "*";
  return String(judges.includes(waypointAt(proxy)));
}

function waypointAt(proxy: number): Waypoint {
  return WAYPOINTS[proxy - FIRST_WAYPOINT] ?? "auto";
}

function successors(state: State, options: TakeoverOptions): readonly State[] {
  return [
    ...deliveries(state),
    ...closings(state),
    ...labelChanges(state, options),
    ...WAYPOINTS.flatMap((one) => machineStep(state, one, options)),
  ];
}

function deliveries(state: State): readonly State[] {
  return state.queues.flatMap((queue, proxy) => {
    if (queue.length === 1) return [];
    const moved = { ...state, queues: state.queues.with(proxy, queue.slice(1)) };
    const open = state.open.map((was, i) => was || isReached(moved, Math.floor(i / 3), i % 3));
    return [{ ...moved, open }];
  });
}

/** A source may have connections through a waypoint that it is sent to, and that answers. */
function isReached(state: State, source: number, waypoint: number): boolean {
  return has(state, source).via === WAYPOINTS[waypoint] && answers(state, waypoint);
}

function answers(state: State, waypoint: number): boolean {
  return has(state, FIRST_WAYPOINT + waypoint).judges.includes(WAYPOINTS[waypoint] ?? "auto");
}

/** A waypoint that has lost the service lets go of its callers. */
function closings(state: State): readonly State[] {
  return state.open.flatMap((isOpen, i) =>
    isOpen && !answers(state, i % 3) ? [{ ...state, open: state.open.with(i, false) }] : [],
  );
}

function labelChanges(state: State, options: TakeoverOptions): readonly State[] {
  const [label, ...labelsLeft] = state.labelsLeft;
  if (label === undefined) return [];
  return [publish({ ...state, labelsLeft }, { ...state.wish, label }, options)];
}

function machineStep(state: State, one: Waypoint, options: TakeoverOptions): readonly State[] {
  const { gateways, asked } = options.meaning(state.wish);
  const facts = options.told(one, factsOf(state, FIRST_WAYPOINT + WAYPOINTS.indexOf(one)));
  const isDue = !options.drains || isOver(state, one);
  const step = nextStep(gateways[one], asked[one], { facts, nowMs: isDue ? LONG_MS : 0, times: TIMES });
  if (!step.changed) return [];
  const [stage = "none"] = [...stagesOf({ deploymentUid: "", ...step }).values()] as readonly Stage[];
  if (stage === state.wish.stages[one]) return [];
  return [publish(state, { ...state.wish, stages: { ...state.wish.stages, [one]: stage } }, options)];
}

/** In `draining` connections through others have had their time, in `resting` those through itself: unless nobody lets go of them. */
function isOver(state: State, one: Waypoint): boolean {
  const stage = state.wish.stages[one];
  const isKept = (i: number): boolean => answers(state, i % 3) && isSettled(state, FIRST_WAYPOINT + (i % 3));
  const left = state.open.flatMap((isOpen, i) => (isOpen && !isKept(i) ? [WAYPOINTS[i % 3]] : []));
  if (stage === "draining") return left.every((waypoint) => waypoint === one);
  return stage !== "resting" || !left.includes(one);
}

function publish(state: State, wish: Wish, options: TakeoverOptions): State {
  const meaning = options.meaning(wish);
  const queues = state.queues.map((queue, proxy) => {
    const last = queue.at(-1);
    const same = last !== undefined && relevant(proxy, last) === relevant(proxy, meaning);
    return same ? [...queue.slice(0, -1), meaning] : [...queue, meaning];
  });
  return { ...state, wish, queues };
}

function factsOf({ queues }: State, waypoint: number): BindingFacts {
  const behind = (...proxies: readonly number[]): readonly string[] =>
    proxies.filter((proxy) => (queues[proxy]?.length ?? 0) > 1).map(String);
  return {
    published: true,
    unpublished: [],
    readyWaypoints: 1,
    waypointsBehind: behind(waypoint),
    destinationsBehind: behind(DESTINATION),
    sourcesBehind: behind(...SOURCES),
    sourcesMissing: [],
    watchedMs: LONG_MS,
  };
}

function has({ queues }: State, proxy: number): Meaning {
  const meaning = queues[proxy]?.[0];
  if (meaning === undefined) throw new Error(`no proxy ${proxy}`);
  return meaning;
}

/** The policy is enforced to begin with, and nobody takes it back: a forbidden request is one that comes to the pod and was not judged. */
function violationIn(state: State): string | undefined {
  const { admits } = has(state, DESTINATION);
  for (const source of SOURCES) {
    const { via } = has(state, source);
    if (via === "nowhere")
      return admits === undefined ? "a forbidden request arrived" : "a legitimate caller was refused";
    const waypoint = WAYPOINTS.indexOf(via);
    if (answers(state, waypoint)) {
      if (admits?.includes(via) === false) return "a legitimate caller was refused";
    } else if (isSettled(state, source) && isSettled(state, FIRST_WAYPOINT + waypoint)) {
      return "a legitimate caller waits for ever";
    }
  }
  const isCut = state.open.some(
    (isOpen, i) => isOpen && admits?.includes(WAYPOINTS[i % 3] ?? "auto") === false,
  );
  return isCut ? "an older connection was cut" : undefined;
}

function isSettled({ queues }: State, proxy: number): boolean {
  return queues[proxy]?.length === 1;
}

/** For wrong orders: the same, with something else in a stage. */
export function withPushes(
  change: (meaning: Meaning, wish: Wish) => Partial<Meaning>,
): TakeoverOptions["meaning"] {
  const known = new Map<string, Meaning>();
  return (wish) => {
    const key = wishKey(wish);
    const right = meaningOf(wish);
    const meaning = known.get(key) ?? { ...right, ...change(right, wish) };
    known.set(key, meaning);
    return meaning;
  };
}
