/** W3C trace context: a `traceparent` per connection, so that the log lines of both ends can be joined. */
import { randomBytes } from "node:crypto";

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Random ids are drawn in blocks: one system call for many connections. */
const BLOCK_BYTES = 24 * 256;
let block: Buffer = Buffer.alloc(0);
let used = 0;

/** `00-<32 hex>-<16 hex>-00`: not sampled. */
export function newTraceparent(): string {
  if (used + 24 > block.length) {
    block = randomBytes(BLOCK_BYTES);
    used = 0;
  }
  const hex = block.toString("hex", used, used + 24);
  used += 24;
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

/** The value when it is a valid traceparent of version 00; anything else is as good as none. */
export function parseTraceparent(header: string | undefined): string | undefined {
  return header !== undefined && TRACEPARENT.test(header) ? header : undefined;
}

/** The trace id, as the log shows it. */
export function traceId(traceparent: string): string {
  return traceparent.slice(3, 35);
}
