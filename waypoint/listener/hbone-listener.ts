/** Step W1: tunnels of callers are accepted, their certificates judged, and every CONNECT handed to W2. Nobody else gets in. */
import type { Handle } from "#core/handle/handle.ts";
import type { Listener } from "#core/handle/socket-factory.ts";
import type { HboneRequest } from "#core/hbone/hbone-request.ts";
import { type HboneServerConnection, type PeerVerdict, serveHbone } from "#core/hbone/hbone-server.ts";
import { HandshakeLimiter } from "#core/hbone/handshake-limiter.ts";
import { isBreach } from "#core/http2/http2-errors.ts";
import { peerChain, serverContext, verifyClientPeer } from "#core/identity/tls-options.ts";
import { type IpAddress, ip } from "#core/net/ip.ts";
import { spawn } from "#core/runtime/spawn.ts";
import { FairShare } from "../fair-share.ts";
import type { ProxyContext } from "../proxy-context.ts";
import { serveConnect } from "./serve-connect.ts";
import { recordTunnel } from "./tunnel-record.ts";

/** Connections complete and not yet accepted. */
const BACKLOG = 1_024;

export class HboneListener {
  readonly #context: ProxyContext;
  readonly #handshakes: HandshakeLimiter;
  readonly #tunnels = new Set<HboneServerConnection>();
  /** Connections accepted, by their source. */
  readonly #share: FairShare<IpAddress>;
  #listener: Listener | undefined;
  #isDraining = false;

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#handshakes = new HandshakeLimiter(context.limits.handshakes);
    this.#share = new FairShare(context.limits.maxTunnels);
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async listen(address = "::"): Promise<void> {
    const { backend, options, log } = this.#context.deps;
    this.#listener = await backend.listen({ ip: ip(address), port: options.port }, BACKLOG, (handle) =>
      spawn(log, "tunnel", () => this.#accept(handle)),
    );
  }

  /** No new tunnels; GOAWAY on those that are there. Resolves when they are gone. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#listener?.close();
    for (const tunnel of this.#tunnels) tunnel.drain();
    await Promise.all([...this.#tunnels].map((tunnel) => tunnel.done));
  }

  async close(reason: string): Promise<void> {
    this.#isDraining = true;
    this.#listener?.close();
    for (const tunnel of this.#tunnels) tunnel.close(reason);
    await Promise.all([...this.#tunnels].map((tunnel) => tunnel.done));
  }

  async #accept(handle: Handle): Promise<void> {
    const { metrics } = this.#context;
    const source = handle.remote.ip;
    if (this.#share.roomFor(source) < 1) {
      metrics.tunnelsOverLimit++;
      return handle.reset();
    }
    const leave = this.#handshakes.tryEnter(source);
    if (leave === undefined) {
      metrics.handshakesRefused++;
      return handle.reset();
    }
    this.#share.add(source);
    try {
      await this.#serve(handle, leave);
    } finally {
      this.#share.remove(source);
      leave();
    }
  }

  async #serve(handle: Handle, handshakeOver: () => void): Promise<void> {
    const { deps, metrics } = this.#context;
    const source = handle.remote;
    const certificate = deps.certificate.current();
    if (certificate === undefined) {
      recordTunnel(this.#context, source, { reason: "no-certificate" });
      return handle.reset();
    }
    let refusal: string | undefined;
    const tunnel = serveHbone(handle, {
      backend: deps.backend,
      context: serverContext(certificate),
      notAfterMs: certificate.notAfterMs,
      clock: deps.clock,
      log: deps.log,
      verifyPeer: (peer) => {
        handshakeOver();
        const { trustDomains } = deps.options;
        const verdict: PeerVerdict = verifyClientPeer(peerChain(peer), { trustDomains });
        if (verdict.kind === "refused") refusal = verdict.reason;
        return verdict;
      },
      onBadRequest: () => metrics.tunnelViolations++,
      onConnect: (request: HboneRequest) => serveConnect(this.#context, request),
    });
    this.#tunnels.add(tunnel);
    if (this.#isDraining) tunnel.drain();
    const error = await tunnel.done;
    this.#tunnels.delete(tunnel);
    if (tunnel.peerIdentity === undefined) {
      metrics.tunnelsRefused++;
      const why = refusal ?? error?.message ?? "no TLS handshake";
      recordTunnel(this.#context, source, { reason: "peer-refused", error: why });
    } else if (isBreach(error)) {
      metrics.tunnelViolations++;
      deps.log.warn(
        { peer: tunnel.peerIdentity, source: source.ip, error: error.message },
        "tunnel ended: its peer broke the protocol",
      );
    }
    return undefined;
  }
}
