/**
 * All listeners of one pod, started and ended together. `stop` is what removal of the pod means (at once); `drain` is
 * what the end of this process means (finish what runs).
 */
import type { Listener } from "#core/handle/socket-factory.ts";
import { HbonePool } from "#core/hbone/hbone-pool.ts";
import { HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT } from "#core/model/well-known.ts";
import { acceptLoop } from "./accept-loop.ts";
import { InboundProxy } from "./inbound.ts";
import { servePlaintext } from "./inbound-plaintext.ts";
import type { LocalPod } from "./local-workload.ts";
import { serveOutbound } from "./outbound.ts";
import type { PodSockets } from "./pod-sockets.ts";
import type { PodContext, ProxyDeps } from "./proxy-deps.ts";

export class PodProxy {
  readonly context: PodContext;
  readonly #controller = new AbortController();
  readonly #inbound: InboundProxy;
  readonly #listeners: Listener[] = [];

  constructor(deps: ProxyDeps, pod: LocalPod, sockets: PodSockets) {
    const pool = new HbonePool({ backend: deps.backend, clock: deps.clock });
    this.context = { pod, sockets, pool, signal: this.#controller.signal, deps };
    this.#inbound = new InboundProxy(this.context);
  }

  /** Opens the three listeners, or none: on failure those already open are closed and the error is thrown. */
  async start(): Promise<void> {
    const { context } = this;
    try {
      await this.#listen(OUTBOUND_PORT, (handle) => serveOutbound(context, handle));
      await this.#listen(INBOUND_PLAINTEXT_PORT, (handle) => servePlaintext(context, handle));
      await this.#listen(HBONE_PORT, (handle) => this.#inbound.serve(handle));
    } catch (error) {
      this.#stopListening();
      throw error;
    }
  }

  /** Stops listening, tells peers to go elsewhere, and resolves when the last connection has ended. */
  async drain(): Promise<void> {
    this.#stopListening();
    this.context.pool.retire(() => true);
    await this.#inbound.drain();
    await this.#idle();
  }

  /** Ends everything now. Each connection writes its line. */
  async stop(reason: string): Promise<void> {
    const { context } = this;
    this.#stopListening();
    context.deps.registry.abortPod(context.pod.uid, "draining", reason);
    this.#controller.abort(new DOMException(reason, "AbortError"));
    this.#inbound.close(reason);
    await context.pool.close();
    context.sockets.close();
  }

  async #listen(port: number, serve: Parameters<typeof acceptLoop>[2]): Promise<void> {
    this.#listeners.push(await acceptLoop(this.context, port, serve));
  }

  #stopListening(): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
  }

  async #idle(): Promise<void> {
    const { deps, pod, signal } = this.context;
    while (deps.registry.ofPod(pod.uid).length > 0 && !signal.aborted) await deps.clock.sleep(50, signal);
  }
}
