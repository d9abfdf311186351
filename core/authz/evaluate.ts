/** Pure. L4 authorization of one connection: DENY first, then "no ALLOW policies" or a matching ALLOW. */
import type { Authorization } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import type { Decision, DryRunMatch } from "./decision.ts";

/** Policies in dry run are skipped here; see `evaluateDryRun`. */
export function evaluate(_policies: readonly Authorization[], _connection: ConnectionFacts): Decision {
  throw new Error("not built yet");
}

/** Which dry-run policies match; for logs only. */
export function evaluateDryRun(
  _policies: readonly Authorization[],
  _connection: ConnectionFacts,
): readonly DryRunMatch[] {
  throw new Error("not built yet");
}
