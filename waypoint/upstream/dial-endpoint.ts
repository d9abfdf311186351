/**
 * Step W4. A byte pipe to an endpoint's application: a tunnel to its ztunnel under the waypoint's own identity, which must end at the endpoint's.
 * Only what is not enrolled is reached as plain TCP. The pipe is handed out when the other end has reached the application.
 */
import type { Handle } from "#core/handle/handle.ts";
import type { KeptLimit } from "#core/handle/kept-bytes.ts";
import { HbonePool, type HboneClientStream, type HboneDialDeps } from "#core/hbone/hbone-pool.ts";
import { lossEnding } from "#core/hbone/relay-result.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import { clientContext, peerChain, verifyServerPeer } from "#core/identity/tls-options.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { WAYPOINT_NO_CERTIFICATE } from "../errors.ts";
import { HeldStream } from "../listener/held-stream.ts";
import type { OwnCertificate, WaypointDeps } from "../waypoint-deps.ts";
import type { Endpoint } from "./endpoint.ts";

/** All tunnels are the waypoint's own: its address does not tell them apart. */
const OWN_ADDRESS = ip("0.0.0.0");
const OWN_END: SocketAddress = { ip: OWN_ADDRESS, port: 0 };

export interface EndpointDialer {
  /** Not started. Rejects with AmbitError or a system error. */
  connect(endpoint: Endpoint, keptLimit: KeptLimit, signal: AbortSignal): Promise<Handle>;
  close(): Promise<void>;
}

export interface DialerOptions {
  /** The whole dial of a tunnel, and the wait for its answer. */
  readonly tunnelTimeoutMs: number;
  /** Where the HBONE port of a workload is: another one in tests. */
  readonly hbonePort?: (address: IpAddress) => number;
}

export function endpointDialer(deps: WaypointDeps, options: DialerOptions): EndpointDialer {
  const { backend, clock, certificate } = deps;
  const { tunnelTimeoutMs, hbonePort = () => HBONE_PORT } = options;
  const timeoutMs = deps.options.connectTimeoutMs;
  const pool = new HbonePool({
    backend,
    clock,
    dialTimeoutMs: tunnelTimeoutMs,
    answerTimeoutMs: tunnelTimeoutMs,
  });
  return {
    close: () => pool.close(),
    connect: async (endpoint, keptLimit, signal) => {
      const { address, identity } = endpoint;
      if (identity === undefined) return backend.connect({ destination: address, timeoutMs }, signal);
      const key = {
        sourceIdentity: deps.options.identity,
        sourceIp: OWN_ADDRESS,
        expectedIdentities: [identity],
        destination: { ip: address.ip, port: hbonePort(address.ip) },
      };
      const dial: HboneDialDeps = {
        connect: (destination, dialSignal) => backend.connect({ destination, timeoutMs }, dialSignal),
        credentials: () => credentials(certificate, identity),
      };
      const stream = await pool.connect(key, { target: { kind: "address", address } }, dial, signal);
      const held = await opened(stream, signal);
      return new StreamHandle({ stream: held, local: OWN_END, remote: address, keptLimit });
    },
  };
}

function credentials(own: OwnCertificate, expected: SpiffeId): ReturnType<HboneDialDeps["credentials"]> {
  const certificate = own.current();
  if (certificate === undefined) {
    throw new AmbitError(WAYPOINT_NO_CERTIFICATE, "the waypoint has no valid certificate", {
      retryable: true,
    });
  }
  return {
    context: clientContext(certificate),
    serial: certificate.serial,
    notAfterMs: certificate.notAfterMs,
    verifyPeer: (peer) => verifyServerPeer(peerChain(peer), { expectedIdentities: [expected] }),
  };
}

/** Until the 200 nothing has reached the application, and nothing is sent: a request that fails so can be sent elsewhere. */
function opened(stream: HboneClientStream, signal: AbortSignal): Promise<HeldStream> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stream.reset();
      reject(signal.reason as Error);
    };
    const done = (): void => signal.removeEventListener("abort", onAbort);
    const held = new HeldStream(stream, {
      onOpen: () => {
        done();
        resolve(held);
      },
      onLoss: (loss) => {
        done();
        reject(lossEnding(loss).error);
      },
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (stream.isOpen) resolve(held);
    else if (signal.aborted) onAbort();
  });
}
