/** Pure. HOT PATH. Paths of a policy, compiled: patterns as written, templates as one expression that cannot backtrack far. */
import type { StringMatch } from "../../model/authorization.ts";
import type { PathMatch, PathSegment } from "../../model/request-policy.ts";
import { type TextTest, textTest } from "./text-test.ts";

/** Of paths that are normalised and without their query. */
export function pathTest(patterns: readonly PathMatch[]): TextTest {
  const templates = patterns.flatMap((match) => (match.kind === "template" ? [expressionOf(match)] : []));
  const texts: readonly StringMatch[] = patterns.filter((match) => match.kind !== "template");
  if (templates.length === 0) return textTest(texts);
  const matchesAny = textTest(texts);
  return (path) => {
    if (matchesAny(path)) return true;
    for (const template of templates) if (template.test(path)) return true;
    return false;
  };
}

function expressionOf({ segments }: Extract<PathMatch, { kind: "template" }>): RegExp {
  return new RegExp(`^${segments.map(sourceOf).join("")}$`, "su");
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
