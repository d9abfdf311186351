/** Pure. An HTTP message as both versions of the protocol have it, after every check of syntax and framing: what is here may be forwarded. */

/** Name in lower case; value latin1 without blanks at its ends, in the order in which the fields came. */
export interface HttpField {
  readonly name: string;
  readonly value: string;
}

export type HttpVersion = "1.0" | "1.1" | "2";

export type BodyFraming =
  | { readonly kind: "none" }
  /** Octets, exact. */
  | { readonly kind: "length"; readonly bytes: number }
  /** chunked, or HTTP/2 without content-length: the end is marked. */
  | { readonly kind: "marked" }
  /** Responses of HTTP/1 only: until the connection ends. */
  | { readonly kind: "until-close" }
  /** After a 101: bytes both ways. */
  | { readonly kind: "tunnel" };

export interface RequestHead {
  readonly version: HttpVersion;
  /** `[A-Z][A-Z-]{0,31}`. */
  readonly method: string;
  /** Origin-form with its query as sent, or `*`. */
  readonly target: string;
  /** `host` or `:authority` as sent; checked, never empty. */
  readonly authority: string;
  readonly scheme: "http" | "https";
  /** End to end only: without hop-by-hop fields, `host`, `expect`, framing fields, and those that `connection` nominated. */
  readonly fields: readonly HttpField[];
  readonly body: BodyFraming;
  readonly upgrade: "websocket" | undefined;
  readonly expectsContinue: boolean;
}

export interface ResponseHead {
  /** 100..599. */
  readonly status: number;
  /** As the request's. An answer to HEAD and a 304 keep `content-length`: there it tells about a body that is not sent. */
  readonly fields: readonly HttpField[];
  readonly body: BodyFraming;
}

/** Why a message is not taken; `status` is what its sender is told (an upstream's fault becomes 502). */
export interface Refusal {
  readonly status: number;
  /** A constant phrase for logs and counters: values of a request may be secrets. */
  readonly reason: string;
}
