/** HOT PATH (types). One CONNECT tunnel stream as the relay sees it: bytes both ways, ends, and loss. */
import type { DeliveryResult } from "../http2/http2-stream.ts";

export type { DeliveryResult } from "../http2/http2-stream.ts";

/** Why a stream ended other than by END_STREAM both ways. */
export type StreamLoss =
  /** RST_STREAM from the peer: its application or it itself gave up. */
  | { readonly kind: "reset-by-peer"; readonly code: number }
  /** The connection under the stream went away, or was judged dead. */
  | { readonly kind: "tunnel-lost"; readonly error: Error }
  /** The peer answered the CONNECT with something other than 200. */
  | { readonly kind: "refused"; readonly status: number }
  /** We closed it: policy, certificate, removal. */
  | { readonly kind: "closed-by-policy"; readonly reason: string };

/** Named apart from `HandleEvents`, so that one object per connection can take both. */
export interface HboneStreamEvents {
  /** The CONNECT was answered with 200. On the server's side it never comes: such a stream is open from the start. */
  onTunnelOpen?(): void;
  onTunnelData(pieces: readonly Uint8Array[], byteCount: number): DeliveryResult;
  /** END_STREAM after all data. The other direction lives on. */
  onTunnelEnd(): void;
  /** May write again after `write` returned "pause". */
  onTunnelWritable(): void;
  /** Last event, unless both directions ended. */
  onTunnelLoss(loss: StreamLoss): void;
}

export interface HboneStream {
  /** False until the CONNECT was answered: only few bytes should be read from the application. */
  readonly isOpen: boolean;
  /** The tunnel under it takes no new streams, or is gone: what begins anew goes elsewhere. */
  readonly isLeaving?: boolean | undefined;
  start(events: HboneStreamEvents): void;
  /** Copies `bytes` at once. "pause": accepted, but stop reading until `onWritable`. */
  write(bytes: Uint8Array): "more" | "pause" | "closed";
  /** END_STREAM after everything written. */
  end(): void;
  /** RST_STREAM(CANCEL), or nothing when both directions have ended. No event follows. */
  reset(): void;
  /** Bytes of earlier deliveries that did not return "consumed" have now reached the application. */
  consumed(byteCount: number): void;
}
