/** One outbound connection with everything its steps share (types only). */
import type { Handle } from "#core/handle/handle.ts";
import type { ActiveConnection } from "./active-connection.ts";
import type { LocalWorkload } from "./local-workload.ts";
import type { PodContext } from "./proxy-deps.ts";

type KnownSource = Extract<LocalWorkload, { readonly kind: "known" }>;

export interface OutboundConnection {
  readonly context: PodContext;
  /** The application's side, not started. */
  readonly downstream: Handle;
  readonly active: ActiveConnection;
  readonly source: KnownSource;
}
