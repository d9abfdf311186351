/**
 * Pure. HOT PATH. The path of a request as routes and policies see it and as it goes upstream: made once, so that nobody compares one text and
 * forwards another. Escapes are decoded in one round: what a second round would change stays as it is.
 */
import type { PathNormalization } from "../model/waypoint-config.ts";
import type { Refusal } from "./message.ts";

export interface NormalizedTarget {
  readonly kind: "normalized";
  /** Without the query. */
  readonly path: string;
  /** The path and the query as sent: what goes upstream. */
  readonly target: string;
}

export type TargetOutcome = NormalizedTarget | { readonly kind: "refused"; readonly refusal: Refusal };

/** Anything that one of the steps could change; dots and slashes only after a slash. */
const TO_CHANGE = /[%\\"<>^{|}`]|\/(?:\.|\/)/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** Characters that are escaped where they come raw, and escapes. */
const TO_REWRITE = /%[0-9A-Fa-f]{2}|[\\"<>^{|}`]/g;
const UNRESERVED = /^[A-Za-z0-9._~-]$/;
const DOT_SEGMENT = /\/\.\.?(?:\/|$)/;

/** `target` is in origin-form, or `*` as of OPTIONS. */
export function normalizeTarget(target: string, option: PathNormalization): TargetOutcome {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  if (!TO_CHANGE.test(path)) return { kind: "normalized", path, target };
  if (path.includes("%00")) return refused("NUL in the path");
  if (option === "none") return { kind: "normalized", path, target };
  if (BAD_ESCAPE.test(path)) return refused("escape without two hex digits in the path");
  const normal = normalizePath(path, option);
  return { kind: "normalized", path: normal, target: mark < 0 ? normal : normal + target.slice(mark) };
}

function normalizePath(path: string, option: Exclude<PathNormalization, "none">): string {
  const decodeSlashes = option === "decode-and-merge-slashes";
  const rewritten = path.replaceAll(TO_REWRITE, decodeSlashes ? rewriteWithSlashes : rewrite);
  const resolved = DOT_SEGMENT.test(rewritten) ? resolveDots(rewritten) : rewritten;
  return option === "base" ? resolved : resolved.replaceAll(/\/{2,}/g, "/");
}

function rewriteWithSlashes(part: string): string {
  return /^%(?:2f|5c)$/i.test(part) ? "/" : rewrite(part);
}

/** Escapes of unreserved characters are decoded, others kept with the case of their digits; a backslash is a slash. */
function rewrite(part: string): string {
  if (part === "\\") return "/";
  if (!part.startsWith("%")) return `%${part.charCodeAt(0).toString(16).toUpperCase()}`;
  const character = String.fromCharCode(Number.parseInt(part.slice(1), 16));
  return UNRESERVED.test(character) ? character : part;
}

/** RFC 3986 5.2.4; never above the root. An empty segment is a segment. */
function resolveDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [i, segment] of segments.entries()) {
    const dots = segment === "." || segment === "..";
    if (segment === "..") kept.pop();
    if (!dots) kept.push(segment);
    else if (i === segments.length - 1) kept.push("");
  }
  return `/${kept.join("/")}`;
}

function refused(reason: string): TargetOutcome {
  return { kind: "refused", refusal: { status: 400, reason } };
}
