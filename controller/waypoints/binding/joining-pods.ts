/**
 * Running pods that come under an enforced policy by a change of labels, or of a service's selector: callers are sent through the waypoint at
 * once, and others are refused after the usual drain. Known to this process alone: one that was not there before refuses them at once.
 */
import type { Clock } from "#core/base/clock.ts";
import type { Change, Collection } from "../../collections/collection.ts";
import type { StaticCollection } from "../../collections/static.ts";
import type { PodWaypoint } from "../../mesh-waypoints.ts";
import { isLivePod } from "../../translate/pod.ts";
import { bindingKey } from "./binding.ts";
import type { JoiningPod } from "../takeover/pod-place.ts";

export interface JoiningDeps {
  /** By pod; kept by `keepJoining` alone. */
  readonly joining: StaticCollection<JoiningPod>;
  readonly pods: Collection<PodWaypoint>;
  readonly clock: Clock;
  /** Everything was known and has been pushed: before that, whatever appears has been there. */
  readonly isPublished: () => boolean;
  /** Until older connections are surely closed at their sources. */
  readonly drainMs: number;
  /** It has changed by itself. */
  readonly onChange: () => void;
}

/** Keeps `joining` for as long as the graph lives. */
export function keepJoining(deps: JoiningDeps): void {
  deps.pods.subscribe((changes) => {
    const updates = changes.flatMap((change) => updateFor(change, deps));
    if (updates.length > 0) deps.joining.apply(updates);
  });
}

type Update = readonly [string, JoiningPod | undefined];

function updateFor(change: Change<PodWaypoint>, deps: JoiningDeps): readonly Update[] {
  const { joining, isPublished, clock, drainMs, onChange } = deps;
  const { key, old, new: now } = change;
  const known = joining.get(key);
  if (known !== undefined) {
    const isGone = now === undefined || now.pod.metadata.uid !== known.uid || now.covering.length === 0;
    return isGone ? [[key, undefined]] : [];
  }
  if (!isPublished() || old === undefined || now === undefined || !joins(old, now)) return [];
  const entry: JoiningPod = { uid: now.pod.metadata.uid, tookL4Forms: old.takesL4Forms };
  clock.after(drainMs, () => {
    if (joining.get(key) !== entry) return;
    joining.apply([[key, undefined]]);
    onChange();
  });
  return [[key, entry]];
}

/** A binding that is enforced elsewhere has it now: one that only becomes enforced has had its drain, or wanted none. */
function joins(old: PodWaypoint, now: PodWaypoint): boolean {
  const isSame = old.pod.metadata.uid === now.pod.metadata.uid;
  if (!isSame || !isServing(old) || old.pushes.denies || !now.pushes.denies) return false;
  const before = new Set(old.covering.map(bindingKey));
  const denying = now.covering.filter((binding) => !before.has(bindingKey(binding)));
  return denying.length > 0 && denying.every(({ stage }) => stage === "enforced");
}

/** Somebody may have a connection to it. */
function isServing({ pod }: PodWaypoint): boolean {
  return isLivePod(pod) && pod.ips.length > 0;
}
