/**
 * What an on-demand client gets: answers to the keys it asked for (a resource name or `network/ip`), and later changes
 * of what it knows. A service brings its workloads along; the first answer brings the client's own node's workloads.
 * A key that nobody has is answered as removed and remembered, and sent when it appears.
 */
import type { EncodedResource } from "../encoded-resource.ts";
import type { PublishedState, ResourceType } from "./published-state.ts";
import { aliasedFrameBody, type FrameBody } from "./range-frame.ts";
import type { TypeState } from "./type-state.ts";

/** Undefined when there is nothing to say. Moves names that were found into the subscription. */
export function onDemandAnswer(
  type: ResourceType,
  state: TypeState,
  published: PublishedState,
  node: string,
): FrameBody | undefined {
  const names = new Set(state.subscription.names);
  const found = new Map<string, EncodedResource>();
  const removed = new Set<string>();
  const take = (resource: EncodedResource): void => {
    names.add(resource.name);
    if (state.refused.get(resource.name) !== resource.version) found.set(resource.name, resource);
  };
  if (state.initialOwed && type === "address") published.workloadsOfNode(node).forEach(take);
  for (const key of state.asked) {
    const answers = answersTo(type, key, published);
    if (answers.length === 0) removed.add(key);
    answers.forEach(take);
  }
  state.asked.clear();
  if (!state.initialOwed) changedKnown(type, state, published, { take, removed, names });
  state.subscription = { wildcard: false, names };
  if (found.size === 0 && removed.size === 0) return undefined;
  return aliasedFrameBody(type, [...found.values()], [...removed]);
}

interface Sink {
  readonly take: (resource: EncodedResource) => void;
  readonly removed: Set<string>;
  readonly names: ReadonlySet<string>;
}

/** Changes since the cursor of resources that the client knows by name, alias or service. */
function changedKnown(type: ResourceType, state: TypeState, published: PublishedState, sink: Sink): void {
  const log = published.logs[type];
  for (const name of log.between(state.cursor, log.head)) {
    const resource = published.get(type, name);
    if (resource === undefined) {
      if (sink.names.has(name)) sink.removed.add(name);
      continue;
    }
    const isKnown = [name, ...resource.aliases, ...resource.services].some((key) => sink.names.has(key));
    if (isKnown) sink.take(resource);
  }
}

/** What a key stands for; with a service, its workloads. */
function answersTo(type: ResourceType, key: string, published: PublishedState): readonly EncodedResource[] {
  if (type !== "address") {
    const named = published.get(type, key);
    return named === undefined ? [] : [named];
  }
  const answers = published.lookUp(key);
  const services = answers.filter((answer) => answer.kind === "service");
  return [...answers, ...services.flatMap((service) => published.workloadsOfService(service.name))];
}
