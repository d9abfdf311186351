/**
 * HOT PATH. The Huffman code of RFC 7541 Appendix B. The code is canonical, so lengths alone define it.
 * Decoding walks an automaton four bits at a time: 256 states of 16 steps (16 KiB) stay in the first-level cache,
 * and no step can complete more than one symbol, since the shortest code has five bits.
 */
import { MALFORMED } from "./integer.ts";

const EOS = 256;

/** Code length in bits of symbols 0 to 255, then of EOS. */
// prettier-ignore
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
  28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
  6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22,
  20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23,
  23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22,
  22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26,
  27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
  26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LENGTHS = Uint8Array.from(CODE_LENGTHS);
const CODES = canonicalCodes();

/** A step is `next state | emitted symbol << 16 | EMITS`, or REFUSED (EOS inside a string). */
const EMITS = 1 << 24;
const REFUSED = -1;
const { steps: STEPS, accepting: ACCEPTING } = buildAutomaton();

/** Bytes that the decoding of `length` bytes can give at most. */
export function maxDecodedBytes(length: number): number {
  return Math.floor((length * 8) / 5);
}

/**
 * Decodes `bytes[start, end)` into `out` from 0; returns how many bytes, or MALFORMED: EOS in the string, padding
 * of eight bits or more, or padding that is not all ones (RFC 7541 5.2). `out` has `maxDecodedBytes` of room.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const octet = bytes[at] as number;
    let step = STEPS[(state << 4) | (octet >> 4)] as number;
    if (step === REFUSED) return MALFORMED;
    if (step >= EMITS) out[length++] = (step >> 16) & 0xff;
    step = STEPS[((step & 0xffff) << 4) | (octet & 0xf)] as number;
    if (step === REFUSED) return MALFORMED;
    if (step >= EMITS) out[length++] = (step >> 16) & 0xff;
    state = step & 0xffff;
  }
  return ACCEPTING[state] === 1 ? length : MALFORMED;
}

/** Bytes that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i) & 0xff] as number;
  return (bits + 7) >> 3;
}

/** Writes the code of `text` (latin1) at `offset`; returns the offset behind it. */
export function encodeHuffman(text: string, out: Uint8Array, offset: number): number {
  let at = offset;
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    let code = CODES[symbol] as number;
    let bits = LENGTHS[symbol] as number;
    while (bits > 0) {
      // Long codes in two parts, so that code and pending bits fit into 32.
      const taken = bits > 16 ? bits - 16 : bits;
      bits -= taken;
      pending = (pending << taken) | (code >>> bits);
      code &= 0xffff;
      pendingBits += taken;
      while (pendingBits >= 8) out[at++] = pending >>> (pendingBits -= 8);
      pending &= 0xff;
    }
  }
  if (pendingBits > 0) out[at++] = (pending << (8 - pendingBits)) | (0xff >> pendingBits);
  return at;
}

/** Codes in order of length, then of symbol (RFC 7541 Appendix B). */
function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_LENGTHS.length);
  const order = CODE_LENGTHS.map((bits, symbol) => ({ bits, symbol })).sort(
    (a, b) => a.bits - b.bits || a.symbol - b.symbol,
  );
  let code = 0;
  let previousBits = order[0]?.bits ?? 0;
  for (const { bits, symbol } of order) {
    code <<= bits - previousBits;
    previousBits = bits;
    codes[symbol] = code++;
  }
  return codes;
}

interface Node {
  readonly state: number;
  readonly children: [Node | number | undefined, Node | number | undefined];
}

function buildAutomaton(): { readonly steps: Int32Array; readonly accepting: Uint8Array } {
  const nodes = buildTree();
  const steps = new Int32Array(nodes.length * 16);
  for (const node of nodes)
    for (let nibble = 0; nibble < 16; nibble++)
      steps[node.state * 16 + nibble] = walk(node, nibble, nodes[0] as Node);
  const accepting = new Uint8Array(nodes.length);
  let node = nodes[0];
  // Padding is the first bits of EOS, which are ones: at most seven.
  for (let ones = 0; ones < 8 && node !== undefined; ones++) {
    accepting[node.state] = 1;
    const next: Node | number | undefined = node.children[1];
    node = typeof next === "object" ? next : undefined;
  }
  return { steps, accepting };
}

/** The inner nodes of the code tree; leaves are symbols. */
function buildTree(): Node[] {
  const nodes: Node[] = [{ state: 0, children: [undefined, undefined] }];
  for (const [symbol, bits] of CODE_LENGTHS.entries()) {
    let node = nodes[0] as Node;
    for (let bit = bits - 1; bit > 0; bit--)
      node = childOf(nodes, node, ((CODES[symbol] as number) >>> bit) & 1);
    node.children[((CODES[symbol] as number) & 1) as 0 | 1] = symbol;
  }
  return nodes;
}

function childOf(nodes: Node[], parent: Node, bit: number): Node {
  const existing = parent.children[bit as 0 | 1];
  if (typeof existing === "object") return existing;
  const created: Node = { state: nodes.length, children: [undefined, undefined] };
  nodes.push(created);
  parent.children[bit as 0 | 1] = created;
  return created;
}

function walk(from: Node, nibble: number, root: Node): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = node.children[((nibble >> bit) & 1) as 0 | 1];
    if (next === undefined || next === EOS) return REFUSED;
    if (typeof next === "number") emitted = EMITS | (next << 16);
    node = typeof next === "number" ? root : next;
  }
  return emitted | node.state;
}
