/** Pure. Path templates: `/items/{*}`, `/items/{*}.json`, `/{**}/price`. */
import { type Parsed, parsed, problem } from "../../base/parse-result.ts";
import type { PathSegment } from "../../model/request-policy.ts";

const WILDCARD = /(\{\*\*?\})/;
/** Wildcards of one template; nothing legitimate has more. */
const MAX_WILDCARDS = 32;

/** Braces make a template: as plain text they can never match, because they are escaped before paths are compared. */
export function looksLikeTemplate(text: string): boolean {
  return /[{}]/.test(text);
}

export function parseTemplate(text: string): Parsed<readonly PathSegment[]> {
  const segments = text
    .split(WILDCARD)
    .filter((part) => part !== "")
    .map(segmentOf);
  const wrong = templateProblem(segments);
  return wrong === undefined ? parsed(segments) : problem("", wrong);
}

function segmentOf(part: string): PathSegment {
  if (part === "{*}") return { kind: "one" };
  return part === "{**}" ? { kind: "rest" } : { kind: "literal", text: part };
}

/** What is wrong, or undefined. A wildcard that begins a segment leaves one way to match: no test of a path takes long. */
export function templateProblem(segments: readonly PathSegment[]): string | undefined {
  const [first] = segments;
  if (first?.kind !== "literal" || !first.text.startsWith("/")) return "must start with /";
  let before = "";
  let wildcards = 0;
  let ended = false;
  for (const segment of segments) {
    if (segment.kind === "literal") {
      if (/[{}*]/.test(segment.text)) return "has a brace or a star that is no {*} or {**}";
      before = segment.text;
      continue;
    }
    if (!before.endsWith("/")) return "has a wildcard that does not begin a segment";
    if (ended) return "has a wildcard after {**}";
    if (++wildcards > MAX_WILDCARDS) return `has more than ${MAX_WILDCARDS} wildcards`;
    ended = segment.kind === "rest";
    before = "";
  }
  return undefined;
}
