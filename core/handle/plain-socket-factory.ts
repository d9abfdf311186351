/** Sockets in this process's own network namespace. */
import type { SocketFactory } from "./socket-factory.ts";
import type { HandleBackend } from "./choose-handle.ts";

export declare function plainSocketFactory(backend: HandleBackend): SocketFactory;
