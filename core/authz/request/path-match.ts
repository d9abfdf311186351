/** Pure. Paths of a policy, compiled: patterns as written, templates as one expression that cannot backtrack far. */
import type { PathMatch, PathSegment } from "../../model/request-policy.ts";
import { matchesText } from "../match-connection.ts";

export type PathTest = (path: string) => boolean;

/** `path` of the test is normalised and without its query. */
export function pathTest(match: PathMatch): PathTest {
  if (match.kind !== "template") return (path) => matchesText(match, path);
  const expression = new RegExp(`^${match.segments.map(sourceOf).join("")}$`, "su");
  return (path) => expression.test(path);
}

function sourceOf(segment: PathSegment): string {
  switch (segment.kind) {
    case "literal":
      return segment.text.replaceAll(/[^A-Za-z0-9/_-]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);
    case "one":
      return "[^/]+";
    case "rest":
      return ".*";
  }
}
