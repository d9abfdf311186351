/** Steps O2, O3 and I1 for every listener: accept, bound what is in progress, and catch what escapes a connection. */
import type { Handle } from "#core/handle/handle.ts";
import type { Listener } from "#core/handle/socket-factory.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { PodContext } from "./proxy-deps.ts";

/** Of each listening socket: connections that the kernel completed and nobody has accepted yet. */
const BACKLOG = 1024;

export type ServeConnection = (handle: Handle) => Promise<void>;

/** One of the three places where failures of a connection are caught: none may harm its neighbours. */
export function acceptLoop(context: PodContext, port: number, serve: ServeConnection): Promise<Listener> {
  const { log, connectionLog, metrics, options } = context.deps;
  return context.sockets.listen({ port, backlog: BACKLOG }, (handle) => {
    // Reset before it was accepted (as by capture's self-test): nobody to serve, no address to log, so only counted.
    if (handle.remote.port === 0) {
      metrics.goneBeforeAccept();
      return handle.reset();
    }
    if (connectionLog.taken >= options.maxConnections) {
      metrics.connectionRefused();
      return handle.reset();
    }
    serve(handle).catch((error: unknown) => {
      log.error({ port, pod: context.pod.uid, error: describeError(error) }, "connection handler failed");
      if (!handle.closed) handle.reset();
    });
  });
}
