/** Bounds of a connection; what a caller may make us hold or wait for. */

export const MAX_HEAD_BYTES: number = 60 * 1024;
export const MAX_FIELDS = 200;
export const MAX_TRAILER_BYTES: number = 8 * 1024;
export const MAX_TRAILERS = 64;
/** Interim answers to one request. */
export const MAX_INTERIM = 8;
/** Bytes that are kept while nobody takes them; then the handle is paused. */
export const MAX_KEPT_BYTES: number = 64 * 1024;
/** Bytes on their way out before a writer is told to pause. */
export const MAX_BACKLOG_BYTES: number = 64 * 1024;
/** Rest of a refused request's body that is read and thrown away, to keep the connection. */
export const MAX_DISCARDED_BYTES: number = 64 * 1024;
/** Read and thrown away while a caller reads its last answer. */
export const MAX_LINGER_BYTES: number = 1024 * 1024;

export interface Http1Timeouts {
  /** From a head's first byte to its last. */
  readonly headMs: number;
  /** Between requests. */
  readonly idleMs: number;
  /** No byte of a body that is waited for, or none taken by a peer that should read. */
  readonly progressMs: number;
  /** For a caller to read its last answer and close. */
  readonly lingerMs: number;
}

export const DEFAULT_TIMEOUTS: Http1Timeouts = {
  headMs: 10_000,
  idleMs: 60_000,
  progressMs: 300_000,
  lingerMs: 2_000,
};
