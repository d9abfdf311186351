/** Pure. Texts of `hosts`, `methods` and `paths` to match values, and which of them can never match. */
import { looksLikeTemplate, parseTemplate } from "#core/authz/request/path-template.ts";
import type { PathMatch } from "#core/model/request-policy.ts";
import { stringMatch } from "./match-values.ts";

export type PathPattern =
  | { readonly kind: "match"; readonly match: PathMatch }
  /** Nobody can say what it was to match. */
  | { readonly kind: "malformed"; readonly why: string };

export function pathPattern(text: string): PathPattern {
  if (looksLikeTemplate(text)) {
    const segments = parseTemplate(text);
    return segments.ok
      ? { kind: "match", match: { kind: "template", segments: segments.value } }
      : { kind: "malformed", why: segments.problems[0]?.message ?? "" };
  }
  return { kind: "match", match: stringMatch(text) ?? { kind: "exact", value: text } };
}

export type RequestText = "hosts" | "methods" | "paths";

/** A reason why a well-formed pattern matches no request, or undefined. Admission refuses these; the rules are in crds/ too. */
export function neverMatches(dimension: RequestText, text: string): string | undefined {
  if (text === "") return "is empty";
  if (/^.+\*.+$/s.test(text) && !text.includes("{")) return "has a star in the middle";
  if (/^\*.*\*$/s.test(text)) return "has two stars";
  if (/[^\u0021-\u007e]/u.test(text)) return "has a space or a character that requests cannot have";
  if (dimension === "methods") return /^\*?[A-Z-]*\*?$/.test(text) ? undefined : "is no method in upper case";
  if (dimension === "hosts")
    return /[^A-Za-z0-9._:[\]*-]/.test(text) ? "has a character that hosts cannot have" : undefined;
  return neverPath(text);
}

function neverPath(text: string): string | undefined {
  if (!/^[/*]/.test(text)) return "starts neither with / nor with *";
  if (/[?#]/.test(text)) return "has a query or a fragment, which is no part of the path";
  return /\/\.\.?(?:\/|$)/.test(text) ? "has a dot segment, which is resolved before" : undefined;
}
