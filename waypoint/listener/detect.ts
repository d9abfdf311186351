/**
 * Step W2, second half: what is spoken on an accepted tunnel stream. Ports that are declared HTTP carry nothing else; on others the first bytes tell,
 * and who says nothing waits for the server to speak first.
 */
import { unreachable } from "#core/base/invariant.ts";
import type { HboneStream } from "#core/hbone/hbone-stream.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { HttpProtocol } from "../http/engines.ts";
import type { Reason } from "../http/reasons.ts";
import type { WaypointSnapshot } from "../policy/snapshot.ts";
import type { Caller } from "./caller.ts";
import type { CallerConnection } from "./caller-connection.ts";
import { recordConnection } from "./connection-record.ts";
import { type FirstBytes, readFirstBytes } from "#core/http/first-bytes.ts";
import { HeldStream, type HeldStreamWatcher } from "./held-stream.ts";
import { HttpConnection } from "./http-connection.ts";
import { RelayCall } from "./relay-call.ts";
import { chooseStreamRoute } from "./stream-route.ts";
import type { DestinationRoute } from "./target-route.ts";

/** How long a caller may take to end its own side. */
const LINGER_MS = 1_000;

/** Takes over the stream. */
export function serveStream(caller: Caller, stream: HboneStream): void {
  if (caller.route.protocol === "tcp") startRelay(caller, stream);
  else new Detection(caller, stream).begin();
}

class Detection implements HeldStreamWatcher, CallerConnection {
  readonly #caller: Caller;
  readonly #startedMs: number;
  readonly #stream: HeldStream;
  #cancelTimer: () => void = () => undefined;
  #verdict: FirstBytes = "more";
  #hasBytes = false;
  #hasEnded = false;
  #isOver = false;

  constructor(caller: Caller, stream: HboneStream) {
    this.#caller = caller;
    this.#startedMs = caller.context.deps.clock.monotonicMs();
    this.#stream = new HeldStream(stream, this);
  }

  get identity(): SpiffeId {
    return this.#caller.identity;
  }

  get route(): DestinationRoute {
    return this.#caller.route;
  }

  /** What came with the CONNECT has been seen. */
  begin(): void {
    if (this.#verdict !== "more" || this.#hasEnded) return this.#settle();
    const { limits, connections } = this.#caller.context;
    connections.add(this);
    const waitsForServer = this.route.protocol === "detect" && !this.#hasBytes;
    this.#wait(waitsForServer ? limits.detectMs : limits.firstBytesMs);
    return undefined;
  }

  onBytes(bytes: Uint8Array): void {
    const isFirst = !this.#hasBytes;
    this.#hasBytes = true;
    this.#verdict = readFirstBytes(bytes);
    if (!this.#isBegun()) return;
    if (this.#verdict !== "more") this.#settle();
    else if (isFirst) this.#wait(this.#caller.context.limits.firstBytesMs);
  }

  /** Nobody can say more than was said. */
  onEnd(): void {
    this.#hasEnded = true;
    if (this.#isBegun()) this.#settle();
  }

  onLoss(): void {
    this.#leave();
  }

  /** What it is about to say is still heard, and answered as the last. */
  drain(farewell?: WaypointSnapshot): void {
    this.#caller.farewell ??= farewell;
  }

  end(reason: Reason): void {
    if (!this.#leave()) return;
    this.#stream.reset();
    if (this.#hasBytes) recordConnection(this.#caller, { reason, startedMs: this.#startedMs });
  }

  #isBegun(): boolean {
    return this.#caller.context.connections.has(this);
  }

  #wait(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#caller.context.deps.clock.after(ms, () => this.#settle());
  }

  #settle(): void {
    if (!this.#leave()) return;
    const { protocol } = this.route;
    const route = chooseStreamRoute({
      port: protocol === "http" ? "http" : "detect",
      verdict: this.#verdict,
      hasBytes: this.#hasBytes,
      hasEnded: this.#hasEnded,
    });
    switch (route.kind) {
      case "http":
        return startHttp(this.#caller, this.#stream, route.protocol);
      case "relay":
        return startRelay(this.#caller, this.#stream);
      case "nothing":
        return this.#stream.end();
      case "refused":
        return this.#refuse(route.reason);
      default:
        return unreachable(route);
    }
  }

  /** Whoever opened a connection to have one, and has not used it, sees an ordinary end. */
  #refuse(reason: Reason): void {
    const { clock } = this.#caller.context.deps;
    this.#stream.end();
    clock.after(LINGER_MS, () => this.#stream.reset());
    recordConnection(this.#caller, { reason, startedMs: this.#startedMs });
  }

  #leave(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#cancelTimer();
    this.#caller.context.connections.delete(this);
    return true;
  }
}

function startHttp(caller: Caller, stream: HboneStream, protocol: HttpProtocol): void {
  new HttpConnection(caller, handleOf(caller, stream), protocol);
}

function startRelay(caller: Caller, stream: HboneStream): void {
  new RelayCall(caller, handleOf(caller, stream));
}

function handleOf({ source, route, keptLimit }: Caller, stream: HboneStream): StreamHandle {
  return new StreamHandle({ stream, local: route.dialled, remote: source, keptLimit });
}
