/** For tests: two connected handles of a backend, plain or with TLS, on loopback. */
import type { SecureContext } from "node:tls";
import { ip } from "../net/ip.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Handle } from "../handle/handle.ts";

export interface ConformanceOptions {
  readonly backend: HandleBackend;
  /** Present: the suite runs on TLS handles. */
  readonly tls?: { readonly server: SecureContext; readonly client: SecureContext };
}

export interface HandlePair {
  readonly client: Handle;
  readonly server: Handle;
}

const LOOPBACK = ip("127.0.0.1");
const HANDSHAKE_MS = 10_000;

/** Two connected, not started handles. */
export async function handlePair({ backend, tls }: ConformanceOptions): Promise<HandlePair> {
  const accepted = Promise.withResolvers<Handle>();
  const listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 16, accepted.resolve);
  const destination = { ip: LOOPBACK, port: listener.port };
  const client = await backend.connect({ destination, timeoutMs: HANDSHAKE_MS });
  const server = await accepted.promise;
  listener.close();
  if (tls === undefined) return { client, server };
  const [secureServer, secureClient] = await Promise.all([
    backend.tlsServer(server, { context: tls.server, handshakeTimeoutMs: HANDSHAKE_MS }),
    backend.tlsClient(client, { context: tls.client, handshakeTimeoutMs: HANDSHAKE_MS }),
  ]);
  return { client: secureClient, server: secureServer };
}

export type OpenPair = () => Promise<HandlePair>;
