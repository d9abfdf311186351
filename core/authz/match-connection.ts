/**
 * Pure. HOT PATH (once per connection and policy). One match against one connection: every dimension must hold, and
 * within one, any positive entry (or none given) and no negative entry. A match without any condition never holds.
 */
import type { AuthorizationMatch, MatchList, StringMatch } from "../model/authorization.ts";
import type { ConnectionFacts } from "../model/connection.ts";
import { type SpiffeParts, spiffeParts, spiffePrincipal } from "../model/spiffe-id.ts";
import { cidrContainsBytes } from "../net/cidr.ts";
import { type IpAddress, ipToBytes } from "../net/ip.ts";
import type { ConnectionDimension } from "./decision.ts";

/** The facts in the form in which policies ask for them; made once per evaluation. */
export interface MatchSubject {
  readonly connection: ConnectionFacts;
  readonly identity: SpiffeParts | undefined;
  /** Without `spiffe://`. */
  readonly principal: string | undefined;
  /** 4 or 16 bytes, read when the first policy asks. */
  readonly sourceBytes: () => Uint8Array;
  readonly destinationBytes: () => Uint8Array;
}

export function matchSubject(connection: ConnectionFacts): MatchSubject {
  const { sourceIdentity } = connection;
  return {
    connection,
    identity: sourceIdentity === undefined ? undefined : spiffeParts(sourceIdentity),
    principal: sourceIdentity === undefined ? undefined : spiffePrincipal(sourceIdentity),
    sourceBytes: bytesOnDemand(connection.source.ip),
    destinationBytes: bytesOnDemand(connection.destination.ip),
  };
}

function bytesOnDemand(address: IpAddress): () => Uint8Array {
  let bytes: Uint8Array | undefined;
  return () => (bytes ??= ipToBytes(address));
}

type DimensionTest = (match: AuthorizationMatch, subject: MatchSubject) => boolean;

const DIMENSIONS: Readonly<Record<ConnectionDimension, DimensionTest>> = {
  // Without an identity the namespace is the empty text, which `exact ""` matches.
  namespaces: (match, { identity }) =>
    holds(match.namespaces, (entry) => matchesText(entry, identity?.namespace ?? "")),
  principals: (match, { principal }) =>
    holds(match.principals, (entry) => principal !== undefined && matchesText(entry, principal)),
  "service-accounts": (match, { identity }) =>
    holds(
      match.serviceAccounts,
      (entry) => identity?.namespace === entry.namespace && identity.serviceAccount === entry.serviceAccount,
    ),
  "source-ips": (match, { sourceBytes }) =>
    holds(match.sourceIps, (block) => cidrContainsBytes(block, sourceBytes())),
  "destination-ips": (match, { destinationBytes }) =>
    holds(match.destinationIps, (block) => cidrContainsBytes(block, destinationBytes())),
  "destination-ports": (match, { connection }) =>
    holds(match.destinationPorts, (port) => port === connection.destination.port),
};

const ALL_DIMENSIONS = Object.keys(DIMENSIONS) as readonly ConnectionDimension[];

export function matchHolds(match: AuthorizationMatch, subject: MatchSubject): boolean {
  if (isEmptyMatch(match)) return false;
  for (const dimension of ALL_DIMENSIONS) if (!DIMENSIONS[dimension](match, subject)) return false;
  return true;
}

/** Which dimensions do not hold; for explanations. */
export function failedDimensions(
  match: AuthorizationMatch,
  subject: MatchSubject,
): readonly ConnectionDimension[] {
  return ALL_DIMENSIONS.filter((dimension) => !DIMENSIONS[dimension](match, subject));
}

export function isEmptyMatch(match: AuthorizationMatch): boolean {
  return (
    isNothing(match.namespaces) &&
    isNothing(match.principals) &&
    isNothing(match.serviceAccounts) &&
    isNothing(match.sourceIps) &&
    isNothing(match.destinationIps) &&
    isNothing(match.destinationPorts)
  );
}

function isNothing(list: MatchList<unknown>): boolean {
  return list.any.length === 0 && list.none.length === 0;
}

function holds<T>(list: MatchList<T>, hits: (entry: T) => boolean): boolean {
  return (list.any.length === 0 || list.any.some(hits)) && !list.none.some(hits);
}

/** Case-sensitive. Presence means "not empty". */
export function matchesText(entry: StringMatch, text: string): boolean {
  switch (entry.kind) {
    case "exact":
      return text === entry.value;
    case "prefix":
      return text.startsWith(entry.value);
    case "suffix":
      return text.endsWith(entry.value);
    case "presence":
      return text !== "";
  }
}
