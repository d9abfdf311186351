/**
 * Pure. What makes a header section malformed in HTTP/2 (RFC 9113 8.2 to 8.5): a stream error PROTOCOL_ERROR.
 * Field syntax of RFC 9110 5.1 and 5.5 is enforced in full (no control characters), since what passes here may be
 * written as HTTP/1.1 later. Reasons are constant phrases: values may be secrets and never appear in them.
 */
import type { HeaderField } from "./hpack/header-field.ts";

export interface Malformed {
  readonly kind: "malformed";
  readonly reason: string;
}

export interface PlainRequest {
  readonly kind: "request";
  readonly method: string;
  readonly scheme: string;
  readonly path: string;
  /** From `:authority`, else from `host`; undefined if neither is there. */
  readonly authority: string | undefined;
}

/** RFC 9113 8.5. The authority is not checked further: whoever connects does. */
export interface ConnectHead {
  readonly kind: "connect";
  readonly authority: string;
}

/** RFC 8441. Allowed only if we announced ENABLE_CONNECT_PROTOCOL: the caller refuses it otherwise. */
export interface ExtendedConnect {
  readonly kind: "extended-connect";
  readonly protocol: string;
  readonly scheme: string;
  readonly path: string;
  readonly authority: string;
}

export type RequestHead = PlainRequest | ConnectHead | ExtendedConnect | Malformed;

export type ResponseHead = { readonly kind: "response"; readonly status: number } | Malformed;

export type Trailers = { readonly kind: "trailers" } | Malformed;

const REQUEST_PSEUDO = [":method", ":scheme", ":authority", ":path", ":protocol"] as const;
const RESPONSE_PSEUDO = [":status"] as const;
const NO_PSEUDO = [] as const;

/** RFC 9113 8.2.2. `te` may say "trailers", nothing else. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

export function readRequestHead(fields: readonly HeaderField[]): RequestHead {
  const section = readSection(fields, REQUEST_PSEUDO);
  if (section.kind === "malformed") return section;
  const host = readHost(fields);
  if (host.kind === "malformed") return host;
  const { method } = withoutColon(section.pseudo);
  if (method === undefined) return malformed("no :method");
  if (!isToken(method)) return malformed(":method is not a token");
  return method === "CONNECT"
    ? connectHead(section.pseudo)
    : plainRequest(section.pseudo, method, host.value);
}

export function readResponseHead(fields: readonly HeaderField[]): ResponseHead {
  const section = readSection(fields, RESPONSE_PSEUDO);
  if (section.kind === "malformed") return section;
  const status = section.pseudo.get(":status");
  if (status === undefined) return malformed("no :status");
  if (!/^[1-9]\d\d$/.test(status)) return malformed(":status is not a number of three digits");
  // RFC 9113 8.6: protocols are not switched in HTTP/2.
  return status === "101" ? malformed(":status 101") : { kind: "response", status: Number(status) };
}

/** Trailers of either direction. That they carry END_STREAM is for the caller to check. */
export function checkTrailers(fields: readonly HeaderField[]): Trailers {
  const section = readSection(fields, NO_PSEUDO);
  return section.kind === "malformed" ? section : { kind: "trailers" };
}

/** RFC 9110 5.6.2, non-empty. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++)
    if (((CHARACTERS[text.charCodeAt(i)] ?? 0) & TOKEN) === 0) return false;
  return true;
}

/** A field name as HTTP/2 carries it: a token without upper case. */
export function isLowerCaseName(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++)
    if (((CHARACTERS[text.charCodeAt(i)] ?? 0) & LOWER_NAME) === 0) return false;
  return true;
}

/** RFC 9110 5.5 with RFC 9113 8.2.1: no control characters but tab, no blank at either end. May be empty. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++)
    if (((CHARACTERS[text.charCodeAt(i)] ?? 0) & VALUE) === 0) return false;
  return !isBlank(text.charCodeAt(0)) && !isBlank(text.charCodeAt(text.length - 1));
}

type Pseudo = ReadonlyMap<string, string>;

/** One pass over all fields: names, values, order and number of pseudo fields. */
function readSection(
  fields: readonly HeaderField[],
  allowed: readonly string[],
): { readonly kind: "section"; readonly pseudo: Pseudo } | Malformed {
  const pseudo = new Map<string, string>();
  let regularSeen = false;
  for (const { name, value } of fields) {
    if (!isFieldValue(value)) return malformed("forbidden character or blank edge in a field value");
    if (name.charCodeAt(0) !== COLON) {
      regularSeen = true;
      const reason = regularProblem(name, value);
      if (reason !== undefined) return malformed(reason);
      continue;
    }
    if (regularSeen) return malformed("pseudo field after a regular field");
    if (!allowed.includes(name)) return malformed("pseudo field that is not defined here");
    if (pseudo.has(name)) return malformed("pseudo field twice");
    pseudo.set(name, value);
  }
  return { kind: "section", pseudo };
}

function regularProblem(name: string, value: string): string | undefined {
  if (!isLowerCaseName(name)) return "field name is empty or has a forbidden or upper-case character";
  if (CONNECTION_SPECIFIC.has(name)) return "connection-specific field";
  if (name === "te" && value.toLowerCase() !== "trailers") return "te other than trailers";
  return undefined;
}

function plainRequest(pseudo: Pseudo, method: string, host: string | undefined): RequestHead {
  const { scheme, path, authority, protocol } = withoutColon(pseudo);
  if (protocol !== undefined) return malformed(":protocol without CONNECT");
  const target = readTarget(method, scheme, path);
  if (target.kind === "malformed") return target;
  const contradiction = authorityProblem(authority, host);
  if (contradiction !== undefined) return malformed(contradiction);
  return { ...target, kind: "request", method, authority: authority ?? host };
}

function connectHead(pseudo: Pseudo): RequestHead {
  const { scheme, path, authority, protocol } = withoutColon(pseudo);
  if (authority === undefined) return malformed("CONNECT without :authority");
  if (protocol === undefined) {
    return scheme === undefined && path === undefined
      ? { kind: "connect", authority }
      : malformed("CONNECT with :scheme or :path");
  }
  if (!isToken(protocol)) return malformed(":protocol is not a token");
  const target = readTarget("CONNECT", scheme, path);
  if (target.kind === "malformed") return target;
  const problem = authorityProblem(authority, undefined);
  if (problem !== undefined) return malformed(problem);
  return { ...target, kind: "extended-connect", protocol, authority };
}

/** RFC 9113 8.3.1: the path starts with a slash, or is the asterisk of OPTIONS. */
function readTarget(
  method: string,
  scheme: string | undefined,
  path: string | undefined,
): { readonly kind: "target"; readonly scheme: string; readonly path: string } | Malformed {
  if (scheme === undefined) return malformed("no :scheme");
  if (!/^[A-Za-z][A-Za-z0-9+.-]*$/.test(scheme)) return malformed(":scheme is not a scheme");
  if (path === undefined) return malformed("no :path");
  if (!isVisibleAscii(path)) return malformed(":path has other than visible ASCII");
  const isStar = path === "*" && method === "OPTIONS";
  if (!path.startsWith("/") && !isStar) return malformed(":path does not begin with a slash");
  return { kind: "target", scheme, path };
}

/** RFC 9113 8.3.1: no user information; `host` must not name another entity. */
function authorityProblem(authority: string | undefined, host: string | undefined): string | undefined {
  if ((authority ?? host ?? "").includes("@")) return ":authority with user information";
  if (authority === undefined || host === undefined) return undefined;
  return authority.toLowerCase() === host.toLowerCase() ? undefined : "host contradicts :authority";
}

/** RFC 9110 7.2: at most one. */
function readHost(
  fields: readonly HeaderField[],
): { readonly kind: "host"; readonly value: string | undefined } | Malformed {
  let value: string | undefined;
  for (const field of fields) {
    if (field.name !== "host") continue;
    if (value !== undefined) return malformed("host twice");
    value = field.value;
  }
  return { kind: "host", value };
}

interface RequestPseudo {
  readonly method: string | undefined;
  readonly scheme: string | undefined;
  readonly path: string | undefined;
  readonly authority: string | undefined;
  readonly protocol: string | undefined;
}

function withoutColon(pseudo: Pseudo): RequestPseudo {
  return {
    method: pseudo.get(":method"),
    scheme: pseudo.get(":scheme"),
    path: pseudo.get(":path"),
    authority: pseudo.get(":authority"),
    protocol: pseudo.get(":protocol"),
  };
}

function malformed(reason: string): Malformed {
  return { kind: "malformed", reason };
}

const COLON = 0x3a;
const TOKEN = 1;
const LOWER_NAME = 2;
const VALUE = 4;
const CHARACTERS = characterClasses();

function characterClasses(): Uint8Array {
  const classes = new Uint8Array(256);
  for (let code = 0; code < 256; code++) {
    const isControl = (code < 0x20 && code !== 0x09) || code === 0x7f;
    if (!isControl) classes[code] = VALUE;
    const character = String.fromCharCode(code);
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(character)) continue;
    classes[code] = VALUE | TOKEN | (/[A-Z]/.test(character) ? 0 : LOWER_NAME);
  }
  return classes;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function isVisibleAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return true;
}
