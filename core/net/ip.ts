/**
 * Pure. IP addresses as canonical text, the form in which they are compared, hashed and printed:
 * IPv4 dotted, IPv6 compressed lower-case (RFC 5952), IPv4-mapped IPv6 written as IPv4.
 */
import { isIPv4, isIPv6 } from "node:net";
import { type Parsed, parsed, problem } from "../base/parse-result.ts";

export type IpAddress = string & { readonly __brand: "IpAddress" };

export type IpFamily = 4 | 6;

/** Parses dotted IPv4 or any textual IPv6 without zone; the result is canonical. */
export function parseIp(text: string): Parsed<IpAddress> {
  if (isIPv4(text)) return parsed(text as IpAddress);
  if (!isIPv6(text) || text.includes("%")) return problem("", `"${text.slice(0, 64)}" is not an IP address`);
  return parsed(formatIp(ipv6TextToBytes(text)));
}

/** Parses an address that the program itself wrote; throws on anything else. */
export function ip(text: string): IpAddress {
  const result = parseIp(text);
  if (!result.ok) throw new Error(result.problems[0]?.message);
  return result.value;
}

export function ipFamily(address: IpAddress): IpFamily {
  return address.includes(":") ? 6 : 4;
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(address: IpAddress): Uint8Array {
  return ipFamily(address) === 6 ? ipv6TextToBytes(address) : Uint8Array.from(address.split("."), Number);
}

/** 16 bytes; IPv4 in its mapped form. The key form of kernel maps. */
export function ipToMappedBytes(address: IpAddress): Uint8Array {
  const bytes = ipToBytes(address);
  if (bytes.length === 16) return bytes;
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(bytes, 12);
  return mapped;
}

/** Canonical text of 4 or 16 bytes. */
export function formatIp(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join(".") as IpAddress;
  if (bytes.length !== 16) throw new Error(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  if (isMappedIpv4(bytes)) return bytes.subarray(12).join(".") as IpAddress;
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  return compressWords(words) as IpAddress;
}

export function isLoopback(address: IpAddress): boolean {
  return address.startsWith("127.") || address === "::1";
}

export function isUnspecified(address: IpAddress): boolean {
  return address === "0.0.0.0" || address === "::";
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((b) => b === 0);
}

/** RFC 5952: the longest run of two or more zero words (the first of equals) becomes `::`. */
function compressWords(words: readonly number[]): string {
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && words[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
    i += length;
  }
  const hex = words.map((w) => w.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}

function ipv6TextToBytes(text: string): Uint8Array {
  const lastColon = text.lastIndexOf(":");
  const tail = text.slice(lastColon + 1);
  const plain = tail.includes(".") ? text.slice(0, lastColon + 1) + dottedToWords(tail) : text;
  const [head, rest] = plain.split("::") as [string, string?];
  const left = head === "" ? [] : head.split(":");
  const right = rest === undefined || rest === "" ? [] : rest.split(":");
  const zeros = rest === undefined ? 0 : 8 - left.length - right.length;
  const words = [...left, ...Array<string>(zeros).fill("0"), ...right].map((w) => Number.parseInt(w, 16));
  return Uint8Array.from(words.flatMap((w) => [w >> 8, w & 0xff]));
}

function dottedToWords(dotted: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split(".").map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
