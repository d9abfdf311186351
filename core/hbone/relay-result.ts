/** How a relayed connection ended. */
import { AmbitError } from "../runtime/errors.ts";
import { errorCodeName } from "../http2/error-codes.ts";
import {
  closedByPolicy,
  HBONE_APP_RESET,
  HBONE_REFUSED,
  HBONE_RESET,
  HBONE_TUNNEL_LOST,
} from "./hbone-errors.ts";
import type { StreamLoss } from "./hbone-stream.ts";

export type RelayEnd = "clean" | "reset-by-app" | "reset-by-peer" | "tunnel-lost" | "closed-by-policy";

export interface RelayResult {
  /** Application to tunnel (or first to second handle), in bytes. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly end: RelayEnd;
  /** Present unless `end` is "clean": an AmbitError with a code of `hbone-errors.ts`. */
  readonly error?: Error;
}

export interface Relay {
  /** Never rejects. */
  readonly done: Promise<RelayResult>;
  /** Calls `listener` at the end, or now when it has come: for callers that must not keep a promise per connection. */
  whenDone(listener: (result: RelayResult) => void): void;
  /** So far; for reports about open connections. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /**
   * Nothing waits to be passed on, and what moved last came from the second side: whatever the first has asked for has been
   * answered, as far as bytes can tell.
   */
  readonly isAtRest: boolean;
  /** Resets both sides; `done` resolves with "closed-by-policy" and the reason. */
  abort(reason: string): void;
  /** Both sides are told an end, in order. What they send after it is not passed on: the sender is reset. */
  close(reason: string): void;
}

/** The end of a relay and who waits for it. There are as many as open connections: promises are made on demand only. */
export class RelayOutcome {
  #result: RelayResult | undefined;
  #listener: ((result: RelayResult) => void) | undefined;

  get isSettled(): boolean {
    return this.#result !== undefined;
  }

  get done(): Promise<RelayResult> {
    return new Promise((resolve) => this.whenDone(resolve));
  }

  whenDone(listener: (result: RelayResult) => void): void {
    if (this.#result !== undefined) {
      listener(this.#result);
      return;
    }
    const earlier = this.#listener;
    this.#listener =
      earlier === undefined
        ? listener
        : (result) => {
            earlier(result);
            listener(result);
          };
  }

  /** Once; later calls do nothing. */
  settle(result: RelayResult): void {
    if (this.#result !== undefined) return;
    this.#result = result;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.(result);
  }
}

export interface Ending {
  readonly end: RelayEnd;
  readonly error: Error;
}

export function appReset(cause: Error | undefined): Ending {
  const why = cause === undefined ? "it went away" : cause.message;
  const error = new AmbitError(HBONE_APP_RESET, `the application's connection ended abnormally: ${why}`, {
    cause,
  });
  return { end: "reset-by-app", error };
}

export function relayAborted(reason: string): Ending {
  return { end: "closed-by-policy", error: closedByPolicy(reason) };
}

export function lossEnding(loss: StreamLoss): Ending {
  switch (loss.kind) {
    case "reset-by-peer": {
      const text = `the other side reset the connection (${errorCodeName(loss.code)})`;
      const error = new AmbitError(HBONE_RESET, text, { fields: { http2Code: loss.code } });
      return { end: "reset-by-peer", error };
    }
    case "refused": {
      const text = `the other side refused the connection: status ${loss.status}`;
      const error = new AmbitError(HBONE_REFUSED, text, { fields: { status: loss.status } });
      return { end: "reset-by-peer", error };
    }
    case "tunnel-lost":
      if (loss.error instanceof AmbitError && loss.error.code.startsWith("HBONE_")) {
        return { end: "tunnel-lost", error: loss.error };
      }
      return {
        end: "tunnel-lost",
        error: new AmbitError(HBONE_TUNNEL_LOST, `the tunnel was lost: ${loss.error.message}`, {
          cause: loss.error,
        }),
      };
    case "closed-by-policy":
      return relayAborted(loss.reason);
  }
}
