/**
 * HOT PATH (push). The payload of a response, made once and shared by all streams that need the same range of changes:
 * 99 % of streams stand at the same position. Only the nonce differs per stream.
 */
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "#core/model/well-known.ts";
import { encodeDeltaResponseFromEntries, encodeResourceEntry } from "#core/wire/xds-codec.ts";
import type { EncodedResource } from "../encoded-resource.ts";
import type { PublishedState, ResourceType } from "./published-state.ts";

export const TYPE_URLS: Readonly<Record<ResourceType, string>> = {
  address: TYPE_URL_ADDRESS,
  authorization: TYPE_URL_AUTHORIZATION,
  waypoint: TYPE_URL_WAYPOINT,
};

export interface FrameBody {
  readonly type: ResourceType;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
  /** The resources' entries, joined. */
  readonly entries: Uint8Array;
}

export function frameBody(
  type: ResourceType,
  resources: readonly EncodedResource[],
  removed: readonly string[],
): FrameBody {
  return { type, resources, removed, entries: Buffer.concat(resources.map((resource) => resource.entry)) };
}

/** Entries with `aliases`, which only on-demand answers carry. */
export function aliasedFrameBody(
  type: ResourceType,
  resources: readonly EncodedResource[],
  removed: readonly string[],
): FrameBody {
  const entries = resources.map(({ name, version, body, aliases }) =>
    encodeResourceEntry({ name, version, body, aliases, typeUrl: TYPE_URLS[type] }),
  );
  return { type, resources, removed, entries: Buffer.concat(entries) };
}

export interface FrameHead {
  readonly systemVersion: string;
  readonly nonce: string;
  readonly removed: readonly string[];
}

export function encodeFrame(body: FrameBody, head: FrameHead): Uint8Array {
  return encodeDeltaResponseFromEntries({ ...head, typeUrl: TYPE_URLS[body.type] }, [body.entries]);
}

/** Bodies of the newest ranges. A handful suffices: streams lag by one or two pushes. */
export class FrameCache {
  readonly #published: PublishedState;
  readonly #bodies = new Map<string, FrameBody>();
  #hits = 0;
  #misses = 0;

  constructor(published: PublishedState) {
    this.#published = published;
  }

  get hitRatio(): number {
    return this.#hits / Math.max(1, this.#hits + this.#misses);
  }

  /** The latest bytes of what changed in [from, to); `to` is the log's head. */
  range(type: ResourceType, from: number, to: number): FrameBody {
    return this.#cached(`${type} ${from} ${to}`, () => {
      const resources: EncodedResource[] = [];
      const removed: string[] = [];
      for (const name of this.#published.logs[type].between(from, to)) {
        const resource = this.#published.get(type, name);
        if (resource === undefined) removed.push(name);
        else resources.push(resource);
      }
      return frameBody(type, resources, removed);
    });
  }

  /** Everything, for a client that holds nothing. */
  everything(type: ResourceType): FrameBody {
    const head = this.#published.logs[type].head;
    return this.#cached(`${type} all ${head}`, () => frameBody(type, [...this.#published.all(type)], []));
  }

  #cached(key: string, make: () => FrameBody): FrameBody {
    const found = this.#bodies.get(key);
    if (found !== undefined) {
      this.#hits++;
      return found;
    }
    this.#misses++;
    const made = make();
    this.#bodies.set(key, made);
    if (this.#bodies.size > 8) this.#bodies.delete(this.#bodies.keys().next().value ?? "");
    return made;
  }
}
