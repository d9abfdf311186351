/** Pure. What a delta xDS client asks for of one type (xDS "delta" rules as Istio's control plane reads them). */
import type { DeltaRequest } from "#core/wire/xds-codec.ts";

export interface Subscription {
  /** Everything of the type; then no names are kept. */
  readonly wildcard: boolean;
  readonly names: ReadonlySet<string>;
}

type Asked = Pick<DeltaRequest, "subscribe" | "unsubscribe">;

const ALL = "*";

/** An empty first request, or `*`, is everything. `*` subscribed and unsubscribed at once is nothing. */
export function firstSubscription(request: Asked): Subscription {
  const wantsAll = request.subscribe.length === 0 || request.subscribe.includes(ALL);
  const wildcard = wantsAll && !request.unsubscribe.includes(ALL);
  return { wildcard, names: wildcard ? new Set() : namesOf(request) };
}

export function nextSubscription(current: Subscription, request: Asked): Subscription {
  if (request.subscribe.length === 0 && request.unsubscribe.length === 0) return current;
  const added = request.subscribe.includes(ALL);
  const dropped = request.unsubscribe.includes(ALL);
  const wildcard = dropped ? false : current.wildcard || added;
  if (wildcard) return { wildcard, names: new Set() };
  const names = new Set(current.names);
  for (const name of namesOf(request)) names.add(name);
  for (const name of request.unsubscribe) names.delete(name);
  return { wildcard, names };
}

function namesOf(request: Asked): ReadonlySet<string> {
  const names = new Set(request.subscribe);
  names.delete(ALL);
  for (const name of request.unsubscribe) names.delete(name);
  return names;
}
