/** Pure. What policies are asked about: one request of a caller, or, without its HTTP part, one connection. */
import type { HttpField } from "../../http/message.ts";
import { type SpiffeId, spiffeParts, spiffePrincipal } from "../../model/spiffe-id.ts";
import { type IpAddress, ipToBytes } from "../../net/ip.ts";
import type { SocketAddress } from "../../net/socket-address.ts";

/** The caller, made once per connection. */
export interface PeerFacts {
  /** From the certificate; undefined: nobody known. */
  readonly identity: SpiffeId | undefined;
  /** Without `spiffe://`. */
  readonly principal: string | undefined;
  /** Empty without an identity, as ztunnels have it. */
  readonly namespace: string;
  readonly serviceAccount: string | undefined;
  /** TCP peer of the tunnel; header fields never change it. */
  readonly ip: IpAddress;
  readonly ipBytes: Uint8Array;
}

export interface HttpFacts {
  readonly method: string;
  /** Normalised, without the query; `*` of OPTIONS. */
  readonly path: string;
  /** As sent. */
  readonly authority: string;
  /** Names in lower case. */
  readonly fields: readonly HttpField[];
}

export interface RequestFacts {
  readonly peer: PeerFacts;
  /** Of a service: the address that was dialled; of a workload: its address and application port. */
  readonly destination: SocketAddress;
  /** Undefined for a connection that is not HTTP: judge it by the connection form of the policies. */
  readonly http: HttpFacts | undefined;
}

export function peerFacts(identity: SpiffeId | undefined, ip: IpAddress): PeerFacts {
  const parts = identity === undefined ? undefined : spiffeParts(identity);
  return {
    identity,
    principal: identity === undefined ? undefined : spiffePrincipal(identity),
    namespace: parts?.namespace ?? "",
    serviceAccount: parts?.serviceAccount,
    ip,
    ipBytes: ipToBytes(ip),
  };
}
