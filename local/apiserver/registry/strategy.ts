/** What a built-in kind does beyond its schema. Kinds without an entry in `strategies.ts` do nothing. */
import type { FieldProblem } from "../http/status-error.ts";
import type { ApiObject } from "../object.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface StrategyContext {
  readonly store: ObjectStore;
  readonly serviceCidr: string;
  readonly serviceCidrV6: string | undefined;
}

/** Objects given here are the caller's own copies and may be changed, except in `validate`. */
export interface Strategy {
  /** Fills in what the client left out. Must be idempotent and tolerate missing parts, which validation then reports. */
  readonly defaults?: (object: ApiObject) => void;
  /** What a new object starts with, whatever the client said. */
  readonly onCreate?: (object: ApiObject) => void;
  readonly onUpdate?: (next: ApiObject, old: ApiObject) => void;
  readonly validate?: (object: ApiObject, old: ApiObject | undefined) => FieldProblem[];
  /** Takes what is scarce (addresses, ports); runs synchronously with the write. */
  readonly allocate?: (
    object: ApiObject,
    old: ApiObject | undefined,
    context: StrategyContext,
  ) => FieldProblem[];
  /** Fields besides status that `/status` may write: kinds of which it takes labels and annotations too. */
  readonly statusTakesMetadata?: boolean;
}
