/** Pure. What L4 policy is evaluated against. */
import type { SocketAddress } from "../net/socket-address.ts";
import type { SpiffeId } from "./spiffe-id.ts";

export interface ConnectionFacts {
  /** TCP peer: the client, or the waypoint in front of it. */
  readonly source: SocketAddress;
  /** Pod address and final application port, never 15008. */
  readonly destination: SocketAddress;
  /** From the peer certificate; undefined for plaintext. */
  readonly sourceIdentity: SpiffeId | undefined;
}
