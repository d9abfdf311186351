/** Pure. What is decided about a peer's certificate chain after TLS has built its path to a root. */
import type { SpiffeId } from "../model/spiffe-id.ts";

/** The peer's certificates as DER, leaf first, as far up as TLS knows them. */
export type PeerChain = readonly Uint8Array[];

export type PeerVerdict =
  | {
      readonly kind: "accepted";
      readonly identity: SpiffeId;
      /** Lower-case hex of the leaf's serial. */
      readonly serial: string;
      /** Past this moment no new stream may start on the connection. */
      readonly notAfterMs: number;
    }
  | { readonly kind: "refused"; readonly reason: string };

/** Certificates that must not be believed though they verify. Asked for every certificate of the chain. */
export interface RevocationList {
  /** `issuer` is the hex of the issuer name's DER, `serial` lower-case hex. */
  isRevoked(issuer: string, serial: string): boolean;
}

/** What a server demands of its clients. */
export interface ClientPeerPolicy {
  /** Ours first, then aliases; never empty. */
  readonly trustDomains: readonly string[];
  readonly revoked?: RevocationList;
}

/** What a client demands of the server that it dialled. An empty list accepts nobody. */
export interface ServerPeerPolicy {
  readonly expectedIdentities: readonly SpiffeId[];
  readonly revoked?: RevocationList;
}
