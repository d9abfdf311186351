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
const SEARCH_LIMIT_BYTES = 65_535;

/**
 * Answers names of the cluster domain and nothing else: other names get SERVFAIL at once, so that resolvers go on instead of waiting
 * (a local cluster has no way to the outside). `transport` decides the size: over UDP what does not fit is cut with the TC bit.
 */
export function answerQuery(query: Uint8Array, zone: Zone, transport: "udp" | "tcp"): Uint8Array | undefined {
  const packet = decodeQuery(query);
  const question = packet?.questions?.[0];
  if (packet === undefined || question === undefined || packet.type !== "query") return undefined;
  const limit = transport === "tcp" ? SEARCH_LIMIT_BYTES : udpLimit(packet);
  const opcode = ((packet.flags ?? 0) >> 11) & 15;
  const { code, records } =
    opcode === 0 ? resolve(zone, question.name, question.type) : { code: NOTIMP, records: [] };
  const response = {
    type: "response" as const,
    ...(packet.id === undefined ? {} : { id: packet.id }),
    flags: AUTHORITATIVE_ANSWER | ((packet.flags ?? 0) & RECURSION_DESIRED) | code,
    questions: [question],
    answers: [...records],
    authorities: records.length === 0 && code !== SERVFAIL && code !== NOTIMP ? [startOfAuthority()] : [],
  };
  const bytes = encode(response);
  if (bytes.length <= limit) return bytes;
  return encode({ ...response, flags: response.flags | TRUNCATED_RESPONSE, answers: [], authorities: [] });
}

function decodeQuery(query: Uint8Array): Packet | undefined {
  try {
    return decode(Buffer.from(query));
  } catch {
    return undefined;
  }
}

function resolve(
  zone: Zone,
  name: string,
  type: string,
): { readonly code: number; readonly records: readonly Answer[] } {
  const answer = zone.lookUp(name, type);
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
