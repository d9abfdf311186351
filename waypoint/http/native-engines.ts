/** The project's own engines. */
import type { Clock } from "#core/base/clock.ts";
import { Http1ClientConnection } from "#core/http1/client-connection.ts";
import { Http1ServerConnection } from "#core/http1/server-connection.ts";
import { Http2ClientConnection } from "#core/http2/client-connection.ts";
import { Http2ServerConnection } from "#core/http2/server-connection.ts";
import type { HttpEngines } from "./engines.ts";

export function nativeEngines(clock: Clock): HttpEngines {
  return {
    serve: (protocol, handle, events, { fieldsRead, keptLimit }) =>
      protocol === "http2"
        ? new Http2ServerConnection(handle, { events, fieldsRead, keptLimit, clock })
        : new Http1ServerConnection(handle, { events, fieldsRead, keptLimit, clock }),
    connect: (protocol, handle, { events, keptLimit }) =>
      protocol === "http2"
        ? new Http2ClientConnection(handle, { events, keptLimit, clock })
        : new Http1ClientConnection(handle, events, clock, keptLimit),
  };
}
