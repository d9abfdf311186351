/**
 * Pure. Who has what in force. ztunnels and waypoints acknowledge a response when they act by it, open connections included;
 * orders that must not be broken (docs/adr/0016) wait for that, per proxy.
 */
import type { PublishedState, ResourceType } from "./published-state.ts";
import type { StreamState } from "./stream-state.ts";

/** Everything published up to a moment. */
export type PublishedMark = Readonly<Record<ResourceType, number>>;

export function markOf({ logs }: PublishedState): PublishedMark {
  return { address: logs.address.head, authorization: logs.authorization.head, waypoint: logs.waypoint.head };
}

export interface Question {
  readonly types: readonly ResourceType[];
  readonly mark: PublishedMark;
  /** Resources whose refusal counts: somebody else's must not hold up everyone. */
  readonly concerns: (type: ResourceType, name: string) => boolean;
}

/** Whether the client behind a stream acts by everything of these types that was published up to the mark. */
export function hasAcknowledged(state: StreamState, question: Question, published: PublishedState): boolean {
  return question.types.every((type) => hasType(state, type, question, published));
}

function hasType(
  state: StreamState,
  type: ResourceType,
  { mark, concerns }: Question,
  published: PublishedState,
): boolean {
  const of = state.types.get(type);
  if (of?.acknowledged === undefined || of.acknowledged < mark[type]) return false;
  // Removals may have been held back until addresses had caught up, and then be on their way.
  if (of.inFlight?.removes === true) return false;
  for (const [, position] of of.deferredRemovals) if (position <= mark.address) return false;
  for (const [name, version] of of.refused) {
    if (concerns(type, name) && published.get(type, name)?.version === version) return false;
  }
  return true;
}
