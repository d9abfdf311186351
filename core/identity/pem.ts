/** Pure. PEM (RFC 7468), strictly: known labels, base64 only, bounded. */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";

export type PemLabel = "CERTIFICATE" | "CERTIFICATE REQUEST";

const MAX_PEM_BYTES = 4 * 1024 * 1024;
const MAX_BLOCKS = 1024;

export function encodePem(label: PemLabel, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** Every block of `label`, in order, at least one. Text between blocks is allowed, other labels are not. */
export function decodePem(label: PemLabel, text: string): Parsed<readonly Uint8Array[]> {
  if (text.length > MAX_PEM_BYTES) return problem("", `is longer than ${MAX_PEM_BYTES} bytes`);
  const blocks: Uint8Array[] = [];
  const pattern = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]{1,40})-----/g;
  for (const [, begin, base64 = "", end] of text.matchAll(pattern)) {
    if (begin !== label || end !== label) return problem("", `has a block that is no ${label}`);
    const der = Buffer.from(base64, "base64");
    if (der.length === 0) return problem("", `has an empty ${label}`);
    blocks.push(der);
  }
  const begun = text.split("-----BEGIN").length - 1;
  if (begun !== blocks.length) return problem("", `has a damaged ${label}`);
  if (blocks.length === 0) return problem("", `has no ${label}`);
  return blocks.length > MAX_BLOCKS ? problem("", `has more than ${MAX_BLOCKS} blocks`) : parsed(blocks);
}
