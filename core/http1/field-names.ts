/**
 * HOT PATH. Field names as shared strings in lower case, so that a known name costs neither a slice nor a new hash. A small cache, indexed by hash,
 * always compared in full: whoever fills it with rare names makes others pay a slice, nothing else.
 */

/** Lower case of the characters of a token; 0: not one. */
export const LOWER: Uint8Array = lowerCase();

const SLOTS = 1024;
const MAX_CACHED_LENGTH = 48;
const cache: string[] = Array.from({ length: SLOTS }, () => "");

/** One step of the hash that `fieldName` expects, over the lower-case name. */
export function hashStep(hash: number, lower: number): number {
  return (Math.imul(hash, 31) + lower) | 0;
}

export function fieldName(text: string, start: number, end: number, hash: number): string {
  const slot = (hash ^ (hash >>> 10)) & (SLOTS - 1);
  const cached = cache[slot] as string;
  if (cached.length === end - start && isSame(cached, text, start)) return cached;
  // A slice would keep the whole head alive as long as it is cached.
  const name = Buffer.from(text.slice(start, end).toLowerCase(), "latin1").toString("latin1");
  if (name.length <= MAX_CACHED_LENGTH) cache[slot] = name;
  return name;
}

function isSame(cached: string, text: string, start: number): boolean {
  for (let i = 0; i < cached.length; i++)
    if (cached.charCodeAt(i) !== LOWER[text.charCodeAt(start + i)]) return false;
  return true;
}

function lowerCase(): Uint8Array {
  const lower = new Uint8Array(256);
  for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
    lower[character.charCodeAt(0)] = character.charCodeAt(0);
  for (let code = 0x41; code <= 0x5a; code++) lower[code] = code + 32;
  return lower;
}
