/** Pure. One DNS query (untrusted bytes) to one response. Never throws; nothing to say means no answer at all. */
import {
  AUTHORITATIVE_ANSWER,
  type Answer,
  decode,
  encode,
  type Packet,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import { CLUSTER_DOMAIN } from "./addresses.ts";
import { DNS_TTL_SECONDS, type Zone } from "./dns-zone.ts";

const SERVFAIL = 2;
const NXDOMAIN = 3;
const NOTIMP = 4;
const PLAIN_UDP_BYTES = 512;
const MAX_UDP_BYTES = 1232;
const MAX_TCP_BYTES = 65_535;
const OPCODE_SHIFT = 11;

/**
 * Answers names of the cluster domain and nothing else: other names get SERVFAIL at once, so that resolvers go on instead of waiting
 * (a local cluster has no way to the outside). `transport` decides the size: over UDP what does not fit is cut with the TC bit.
 */
export function answerQuery(query: Uint8Array, zone: Zone, transport: "udp" | "tcp"): Uint8Array | undefined {
  const packet = decodeQuery(query);
  const question = packet?.questions?.[0];
  if (packet === undefined || question === undefined || packet.type !== "query") return undefined;
  const flags = packet.flags ?? 0;
  const { code, records } = resolve(zone, question, (flags >> OPCODE_SHIFT) & 15);
  const response = {
    type: "response" as const,
    ...(packet.id === undefined ? {} : { id: packet.id }),
    flags: AUTHORITATIVE_ANSWER | (flags & RECURSION_DESIRED) | code,
    questions: [question],
    answers: [...records],
    authorities: isNegative(code, records) ? [startOfAuthority()] : [],
  };
  const bytes = encode(response);
  if (bytes.length <= (transport === "tcp" ? MAX_TCP_BYTES : udpLimit(packet))) return bytes;
  return encode({ ...response, flags: response.flags | TRUNCATED_RESPONSE, answers: [], authorities: [] });
}

function isNegative(code: number, records: readonly Answer[]): boolean {
  return records.length === 0 && (code === 0 || code === NXDOMAIN);
}

function decodeQuery(query: Uint8Array): Packet | undefined {
  try {
    return decode(Buffer.from(query));
  } catch {
    return undefined;
  }
}

interface Resolution {
  readonly code: number;
  readonly records: readonly Answer[];
}

function resolve(
  zone: Zone,
  question: { readonly name: string; readonly type: string },
  opcode: number,
): Resolution {
  if (opcode !== 0) return { code: NOTIMP, records: [] };
  const answer = zone.lookUp(question.name, question.type);
  if (answer.kind === "not-ours") return { code: SERVFAIL, records: [] };
  return answer.kind === "absent" ? { code: NXDOMAIN, records: [] } : { code: 0, records: answer.records };
}

/** RFC 6891: the size that the client can take, within what does not fragment. */
function udpLimit(packet: Packet): number {
  const edns = packet.additionals?.find((record) => record.type === "OPT");
  const offered = edns?.type === "OPT" ? edns.udpPayloadSize : PLAIN_UDP_BYTES;
  return Math.min(MAX_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, offered));
}

/** Lets resolvers keep a negative answer as long as a positive one (RFC 2308). */
function startOfAuthority(): Answer {
  return {
    type: "SOA",
    name: CLUSTER_DOMAIN,
    ttl: DNS_TTL_SECONDS,
    data: {
      mname: `ns.dns.${CLUSTER_DOMAIN}`,
      rname: `hostmaster.${CLUSTER_DOMAIN}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: DNS_TTL_SECONDS,
    },
  };
}
