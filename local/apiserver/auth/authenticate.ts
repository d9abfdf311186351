/** Who is calling: client certificate, service account token, or nobody; then impersonation headers. */
import type { IncomingHttpHeaders } from "node:http";
import type { TLSSocket } from "node:tls";
import { StatusError } from "../http/status-error.ts";
import { type AccountTokens, ISSUER } from "./account-tokens.ts";
import type { AccessRequest, Rbac } from "./rbac.ts";
import { ANONYMOUS, type UserInfo } from "./user.ts";

/** Throws 401 for a credential that does not hold: a bad token never becomes an anonymous caller. */
export function authenticate(
  headers: IncomingHttpHeaders,
  socket: TLSSocket,
  tokens: AccountTokens,
): UserInfo {
  const fromCertificate = certificateUser(socket);
  if (fromCertificate !== undefined) return fromCertificate;
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? "")?.[1] ?? webSocketToken(headers);
  if (bearer === undefined) {
    if (headers.authorization !== undefined) throw new StatusError(401, "Unauthorized");
    return ANONYMOUS;
  }
  const verified = tokens.verify(bearer, [ISSUER]);
  if (!verified.ok) throw new StatusError(401, "Unauthorized");
  return verified.value.user;
}

function certificateUser(socket: TLSSocket): UserInfo | undefined {
  if (!socket.authorized) return undefined; // no certificate, or one of another authority
  const subject = socket.getPeerCertificate().subject as
    | { CN?: string | string[]; O?: string | string[] }
    | undefined;
  const names = [subject?.CN ?? []].flat();
  const name = names.at(-1);
  if (name === undefined || name === "") return undefined;
  return { username: name, groups: [...[subject?.O ?? []].flat(), "system:authenticated"] };
}

/** Browsers' WebSocket API has no headers; clients put the token into a sub-protocol. */
function webSocketToken(headers: IncomingHttpHeaders): string | undefined {
  const protocols = String(headers["sec-websocket-protocol"] ?? "");
  const match = /base64url\.bearer\.authorization\.k8s\.io\.([\w-]+)/.exec(protocols);
  return match?.[1] === undefined ? undefined : Buffer.from(match[1], "base64url").toString();
}

/** The user whose rights apply. Throws 403 unless the caller may impersonate every part of what it asks for. */
export function impersonated(caller: UserInfo, headers: IncomingHttpHeaders, rbac: Rbac): UserInfo {
  const username = headerText(headers["impersonate-user"]);
  const groups = headerList(headers["impersonate-group"]);
  const extra = extraHeaders(headers);
  const uid = headerText(headers["impersonate-uid"]);
  if (username === undefined) {
    if (groups.length === 0 && uid === undefined && Object.keys(extra).length === 0) return caller;
    throw new StatusError(400, "requested impersonation without naming a user");
  }
  const wanted: AccessRequest[] = [identityAccess(username)];
  for (const name of groups) wanted.push({ verb: "impersonate", group: "", resource: "groups", name });
  for (const [key, values] of Object.entries(extra)) {
    for (const name of values)
      wanted.push({
        verb: "impersonate",
        group: "authentication.k8s.io",
        resource: "userextras",
        subresource: key,
        name,
      });
  }
  if (uid !== undefined)
    wanted.push({ verb: "impersonate", group: "authentication.k8s.io", resource: "uids", name: uid });
  for (const access of wanted) {
    if (rbac.allows(caller, access)) continue;
    const what = `${access.resource} "${access.name}"`;
    throw new StatusError(
      403,
      `${what} is forbidden: User "${caller.username}" cannot impersonate resource "${access.resource}" in API group "${access.group}" at the cluster scope`,
    );
  }
  return { username, uid, extra, groups: [...new Set([...groups, ...impliedGroups(username)])] };
}

function identityAccess(username: string): AccessRequest {
  const [, , namespace, name] = /^(system:serviceaccount):([^:]+):([^:]+)$/.exec(username) ?? [];
  if (namespace !== undefined && name !== undefined) {
    return { verb: "impersonate", group: "", resource: "serviceaccounts", namespace, name };
  }
  return { verb: "impersonate", group: "", resource: "users", name: username };
}

function impliedGroups(username: string): string[] {
  if (username === ANONYMOUS.username) return ["system:unauthenticated"];
  const namespace = /^system:serviceaccount:([^:]+):/.exec(username)?.[1];
  const account =
    namespace === undefined ? [] : ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
  return [...account, "system:authenticated"];
}

function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}

/** Node joins repeated headers with ", ". */
function headerList(value: string | readonly string[] | undefined): string[] {
  return (typeof value === "string" ? value.split(/,\s*/) : [...(value ?? [])]).filter((item) => item !== "");
}

function extraHeaders(headers: IncomingHttpHeaders): Record<string, string[]> {
  const prefix = "impersonate-extra-";
  const found: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(prefix)) found[decodeURIComponent(name.slice(prefix.length))] = headerList(value);
  }
  return found;
}
