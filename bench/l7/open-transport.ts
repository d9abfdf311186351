/** Connections of the load: TLS to a proxy, or a stream of a tunnel to a waypoint. Verified on both sides. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, createSecureContext } from "node:tls";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import { type HboneDialDeps, HbonePool, type HbonePoolKey } from "#core/hbone/hbone-pool.ts";
import { parseTarget } from "#core/hbone/connect-request.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import { clientContext, peerChain, verifyServerPeer } from "#core/identity/tls-options.ts";
import { type SpiffeId, spiffeId } from "#core/model/spiffe-id.ts";
import { ip } from "#core/net/ip.ts";
import { CIPHER_SUITE } from "../peers/proxy-configs.ts";
import type { Transport } from "./http-jobs.ts";

export const TRUST_DOMAIN = "cluster.local";
const DIAL_MS = 5_000;
const backend = chooseBackend();

export interface Pipe {
  write(bytes: Uint8Array): void;
  close(): void;
}

export interface PipeEvents {
  onBytes(bytes: Uint8Array): void;
  onClosed(): void;
}

type Tls = Extract<Transport, { readonly kind: "tls" }>;
type Hbone = Extract<Transport, { readonly kind: "hbone" }>;

export const benchIdentity = (serviceAccount: string): SpiffeId =>
  spiffeId({ trustDomain: TRUST_DOMAIN, namespace: "bench", serviceAccount });

export function meshCa(directory: string): FileCa {
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  return createFileCa({
    trustDomain: TRUST_DOMAIN,
    rootPem: read("root-cert.pem"),
    rootKeyPem: read("root-key.pem"),
  });
}

/** Opens connections for HTTP/1.1. */
export function pipeOpener(transport: Transport): (events: PipeEvents) => Promise<Pipe> {
  if (transport.kind === "tls") return (events) => openTlsPipe(transport, events);
  const open = hboneOpener(transport);
  return async (events) => {
    const handle = await open();
    handle.start({
      onData: (bytes) => events.onBytes(bytes),
      onEnd: () => handle.shutdown(),
      onDrain: () => undefined,
      onClose: () => events.onClosed(),
    });
    return { write: (bytes) => void handle.write(bytes), close: () => handle.reset() };
  };
}

/** Opens connections for HTTP/2; with TLS it is agreed on by ALPN. */
export function handleOpener(transport: Transport): () => Promise<Handle> {
  return transport.kind === "hbone" ? hboneOpener(transport) : tlsOpener(transport);
}

function openTlsPipe(transport: Tls, events: PipeEvents): Promise<Pipe> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: transport.ip,
      port: transport.port,
      servername: transport.serverName,
      ...tlsFiles(transport),
    });
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.on("close", () => events.onClosed());
    socket.on("data", (bytes: Buffer) => events.onBytes(bytes));
    socket.on("secureConnect", () =>
      resolve({ write: (bytes) => void socket.write(bytes), close: () => socket.destroy() }),
    );
  });
}

function tlsFiles({ caPath, certificatePath, keyPath }: Tls): {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
} {
  const [ca, cert, key] = [caPath, certificatePath, keyPath].map((path) => readFileSync(path, "utf8"));
  return { ca: ca ?? "", cert: cert ?? "", key: key ?? "" };
}

function tlsOpener(transport: Tls): () => Promise<Handle> {
  const context = createSecureContext({
    ...tlsFiles(transport),
    minVersion: "TLSv1.3",
    ciphers: CIPHER_SUITE,
    ecdhCurve: "X25519",
  });
  const destination = { ip: ip(transport.ip), port: transport.port };
  return async () => {
    const tcp = await backend.connect({ destination, timeoutMs: DIAL_MS });
    return backend.tlsClient(tcp, { context, handshakeTimeoutMs: DIAL_MS });
  };
}

/** All streams of one source pod: they share tunnels as they do at a ztunnel. */
function hboneOpener(transport: Hbone): () => Promise<Handle> {
  const certificate = meshCa(transport.caDirectory).issueNow(benchIdentity("client"));
  const expected = transport.expected as SpiffeId;
  const pool = new HbonePool({ backend });
  const destination = { ip: ip(transport.ip), port: transport.port };
  const key: HbonePoolKey = {
    sourceIdentity: certificate.identity,
    sourceIp: ip("0.0.0.0"),
    expectedIdentities: [expected],
    destination,
  };
  const deps: HboneDialDeps = {
    connect: (to, signal) => backend.connect({ destination: to, timeoutMs: DIAL_MS }, signal),
    credentials: () => ({
      context: clientContext(certificate),
      serial: certificate.serial,
      notAfterMs: certificate.notAfterMs,
      verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities: [expected] }),
    }),
  };
  const target = parseTarget(transport.authority);
  if (!target.ok) throw new Error(`bad authority ${transport.authority}`);
  return async () => {
    const stream = await pool.connect(key, { target: target.value }, deps, AbortSignal.timeout(DIAL_MS));
    return new StreamHandle({ stream, local: destination, remote: destination });
  };
}
