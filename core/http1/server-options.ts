/** What a server connection is given. */
import type { Clock } from "../base/clock.ts";
import type { KeptLimit } from "../handle/kept-bytes.ts";
import type { ServerConnectionEvents } from "../http/exchange.ts";
import type { Http1Timeouts } from "./http1-limits.ts";

export interface Http1ServerOptions {
  readonly events: ServerConnectionEvents;
  /** Names in lower case that the policy in force reads. Asked for every request. */
  readonly fieldsRead?: () => ReadonlySet<string>;
  /** Bytes that came before the handle was handed over. */
  readonly received?: Uint8Array;
  readonly clock?: Clock;
  /** Of what is kept while nobody takes it. */
  readonly keptLimit?: KeptLimit;
  readonly timeouts?: Partial<Http1Timeouts>;
}
