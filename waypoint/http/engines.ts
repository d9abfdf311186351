/**
 * The seam to the HTTP engines: what serves requests on a handle, and what sends them. Both versions of the protocol look the same from here, and
 * another engine can stand in for ours.
 */
import type {
  ClientConnection,
  ClientConnectionEvents,
  ServerConnection,
  ServerConnectionEvents,
} from "#core/http/exchange.ts";
import type { Handle } from "#core/handle/handle.ts";
import type { KeptLimit } from "#core/handle/kept-bytes.ts";

/** HTTP/1.0 counts as HTTP/1.1: what differs stays in the engine. */
export type HttpProtocol = "http1" | "http2";

export interface ServerEngineOptions {
  /** Names that policies read now: nobody may hide or imitate those. Asked for every request. */
  readonly fieldsRead: () => ReadonlySet<string>;
  readonly keptLimit: KeptLimit;
}

export interface ClientEngineOptions {
  readonly events: ClientConnectionEvents;
  readonly keptLimit: KeptLimit;
}

export interface HttpEngines {
  serve(
    protocol: HttpProtocol,
    handle: Handle,
    events: ServerConnectionEvents,
    options: ServerEngineOptions,
  ): ServerConnection;
  /** Takes over a connected, not started handle. */
  connect(protocol: HttpProtocol, handle: Handle, options: ClientEngineOptions): ClientConnection;
}
