/**
 * `limit`/`continue`: the rest of a list is kept as it was, so that all pages show one revision. A token names the snapshot and
 * the place in it, so that asking for the same page twice gives the same answer.
 */
import { randomUUID } from "node:crypto";
import { badRequest, StatusError } from "../http/status-error.ts";
import type { StoredObject } from "./object-store.ts";

export interface Page {
  readonly entries: readonly StoredObject[];
  readonly revision: number;
  readonly continueToken: string | undefined;
  readonly remaining: number;
}

interface Snapshot {
  readonly entries: readonly StoredObject[];
  readonly revision: number;
  readonly expiresMs: number;
}

const LIFETIME_MS = 5 * 60_000;
const MAX_SNAPSHOTS = 200;
const EXPIRED =
  "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.";

export class PageSnapshots {
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  first(entries: readonly StoredObject[], revision: number, limit: number): Page {
    if (limit <= 0 || entries.length <= limit) {
      return { entries, revision, continueToken: undefined, remaining: 0 };
    }
    this.#forgetOld();
    const id = randomUUID();
    const snapshot = { entries, revision, expiresMs: this.#nowMs() + LIFETIME_MS };
    this.#snapshots.set(id, snapshot);
    return this.#page(id, snapshot, 0, limit);
  }

  /** Throws 400 for a token that this server cannot have made and 410 for one it no longer knows. */
  next(token: string, limit: number): Page {
    const { id, offset } = parseToken(token);
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined || snapshot.expiresMs < this.#nowMs()) throw new StatusError(410, EXPIRED);
    return this.#page(id, snapshot, offset, limit);
  }

  #page(id: string, snapshot: Snapshot, offset: number, limit: number): Page {
    const end = limit > 0 ? offset + limit : snapshot.entries.length;
    const remaining = Math.max(0, snapshot.entries.length - end);
    return {
      entries: snapshot.entries.slice(offset, end),
      revision: snapshot.revision,
      continueToken: remaining > 0 ? makeToken(id, end) : undefined,
      remaining,
    };
  }

  #forgetOld(): void {
    for (const [id, snapshot] of this.#snapshots) {
      if (this.#snapshots.size < MAX_SNAPSHOTS && snapshot.expiresMs >= this.#nowMs()) break;
      this.#snapshots.delete(id);
    }
  }
}

function makeToken(id: string, offset: number): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", id, offset })).toString("base64url");
}

function parseToken(token: string): { id: string; offset: number } {
  try {
    const value = JSON.parse(Buffer.from(token, "base64url").toString()) as Record<string, unknown>;
    const { v, id, offset } = value;
    if (
      v === "meta.k8s.io/v1" &&
      typeof id === "string" &&
      Number.isSafeInteger(offset) &&
      Number(offset) >= 0
    ) {
      return { id, offset: Number(offset) };
    }
  } catch {
    // not base64 of JSON: refused below like every other foreign token
  }
  throw badRequest("continue key is not valid: unrecognised token");
}
