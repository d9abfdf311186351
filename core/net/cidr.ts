/** Pure. Address blocks. A single address is a block of full length. */
import { type Parsed, parsed, problem } from "../base/parse-result.ts";
import { formatIp, type IpAddress, ipToBytes, parseIp } from "./ip.ts";

export interface Cidr {
  /** Network address, host bits cleared. */
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** Parses `10.0.0.0/8`, `fd00::/8` or a bare address (full length). Host bits are cleared. */
export function parseCidr(text: string): Parsed<Cidr> {
  const [addressText = "", lengthText, ...rest] = text.split("/");
  const address = parseIp(addressText);
  if (!address.ok || rest.length > 0)
    return problem("", `"${text.slice(0, 64)}" is not an IP address or CIDR`);
  const full = ipToBytes(address.value).length * 8;
  if (lengthText === undefined) return parsed({ address: address.value, prefixLength: full });
  const length = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : -1;
  if (length < 0 || length > full)
    return problem("", `prefix length in "${text.slice(0, 64)}" must be 0 to ${full}`);
  return parsed(cidr(address.value, length));
}

export function cidr(address: IpAddress, prefixLength: number): Cidr {
  const bytes = ipToBytes(address);
  const masked = bytes.map((byte, i) => byte & maskByte(prefixLength - 8 * i));
  return { address: formatIp(masked), prefixLength };
}

export function formatCidr(block: Cidr): string {
  return `${block.address}/${block.prefixLength}`;
}

export function cidrContains(block: Cidr, address: IpAddress): boolean {
  return cidrContainsBytes(block, ipToBytes(address));
}

/** The same for an address in its 4 or 16 bytes: for those who ask many blocks about one address. */
export function cidrContainsBytes(block: Cidr, bytes: Uint8Array): boolean {
  const network = networkBytes(block);
  if (network.length !== bytes.length) return false;
  for (let i = 0, left = block.prefixLength; left > 0; i++, left -= 8) {
    if (((bytes[i] ?? 0) & maskByte(left)) !== network[i]) return false;
  }
  return true;
}

const parsedNetworks = new WeakMap<Cidr, Uint8Array>();

/** Blocks are immutable and asked often; their text is read once. */
function networkBytes(block: Cidr): Uint8Array {
  const known = parsedNetworks.get(block);
  if (known !== undefined) return known;
  const bytes = ipToBytes(block.address);
  parsedNetworks.set(block, bytes);
  return bytes;
}

/** The mask of one byte when `bits` prefix bits remain at its start. */
function maskByte(bits: number): number {
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff;
}
