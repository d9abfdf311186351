/** Two ends of HBONE on loopback: a serving end with a handler, and a pool that dials it. */
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Listener } from "../handle/socket-factory.ts";
import { HbonePool, type HbonePoolKey, type HbonePoolOptions } from "../hbone/hbone-pool.ts";
import {
  type HboneRequest,
  type HboneServerConnection,
  type HboneServerOptions,
  serveHbone,
} from "../hbone/hbone-server.ts";
import type { ConnectRequest } from "../hbone/connect-request.ts";
import type { HboneClientStream, HboneDialDeps } from "../hbone/hbone-pool.ts";
import {
  clientContext,
  peerChain,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "../identity/tls-options.ts";
import { ip } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { type Middlebox, middlebox } from "./middlebox.ts";
import { testCa, testIdentity } from "./tls-identities.ts";

const LOOPBACK = ip("127.0.0.1");
const ca = testCa();
export const clientCertificate = ca.issueNow(testIdentity("client"));
export const serverCertificate = ca.issueNow(testIdentity("server"));

export interface HboneFixture {
  readonly pool: HbonePool;
  readonly key: HbonePoolKey;
  readonly deps: HboneDialDeps;
  readonly connections: HboneServerConnection[];
  /** Between client and server, when asked for. */
  readonly box: Middlebox | undefined;
  open(target: SocketAddress, signal?: AbortSignal): Promise<HboneClientStream>;
  close(): Promise<void>;
}

export interface HboneFixtureOptions {
  readonly backend: HandleBackend;
  readonly onConnect: (request: HboneRequest) => void;
  readonly server?: Partial<HboneServerOptions>;
  readonly pool?: Partial<HbonePoolOptions>;
  readonly withMiddlebox?: boolean;
}

export async function hboneFixture(options: HboneFixtureOptions): Promise<HboneFixture> {
  const { backend, onConnect } = options;
  const connections: HboneServerConnection[] = [];
  const listener: Listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 128, (handle) => {
    connections.push(serveHbone(handle, { ...serverOptions(backend), onConnect, ...options.server }));
  });
  const pool = new HbonePool({ backend, ...options.pool });
  const box = options.withMiddlebox === true ? await middlebox(listener.port) : undefined;
  const key: HbonePoolKey = {
    sourceIdentity: clientCertificate.identity,
    sourceIp: LOOPBACK,
    expectedIdentities: [serverCertificate.identity],
    destination: { ip: LOOPBACK, port: box?.port ?? listener.port },
  };
  const deps = dialDeps(backend, key);
  return {
    pool,
    key,
    deps,
    connections,
    box,
    open: (address, signal = AbortSignal.timeout(20_000)) =>
      pool.connect(key, connectTo(address), deps, signal),
    close: async () => {
      listener.close();
      box?.close();
      await pool.close();
      for (const connection of connections) connection.close("the test is over");
      await Promise.all(connections.map((connection) => connection.done));
    },
  };
}

export function connectTo(address: SocketAddress): ConnectRequest {
  return { target: { kind: "address", address } };
}

export function serverOptions(backend: HandleBackend): Omit<HboneServerOptions, "onConnect"> {
  return {
    backend,
    context: serverContext(serverCertificate),
    verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: ["cluster.local"] }),
  };
}

export function dialDeps(backend: HandleBackend, key: HbonePoolKey): HboneDialDeps {
  return {
    connect: (destination, signal) => backend.connect({ destination, timeoutMs: 5_000 }, signal),
    credentials: () => ({
      context: clientContext(clientCertificate),
      serial: clientCertificate.serial,
      notAfterMs: clientCertificate.notAfterMs,
      verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities: key.expectedIdentities }),
    }),
  };
}
