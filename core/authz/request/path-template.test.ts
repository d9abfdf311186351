import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathMatch } from "../../model/request-policy.ts";
import { pathTest } from "./path-match.ts";
import { parseTemplate, templateProblem } from "./path-template.ts";

function template(text: string): PathMatch {
  const segments = parseTemplate(text);
  assert.ok(segments.ok, text);
  return { kind: "template", segments: segments.value };
}

const MATCHES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    "/items/{*}",
    ["/items/7", "/items/a=b", "/items/a*b", "/items/%2F", "/items/."],
    ["/items", "/items/", "/items/7/", "/items//7", "/xitems/7"],
  ],
  [
    "/items/{*}/price",
    ["/items/7/price"],
    ["/items//price", "/items/7/8/price", "/items/7/price/", "/items/price"],
  ],
  [
    "/items/{*}.json",
    ["/items/7.json", "/items/..json"],
    ["/items/.json", "/items/7xjson", "/items/7.json/", "/items/a/7.json"],
  ],
  ["/items/{**}", ["/items/", "/items/7", "/items/7/8/", "/items//"], ["/items", "/item/7"]],
  ["/{**}/price", ["/a/price", "/a/b/price", "//price"], ["/price", "/a/price/x"]],
  ["/{*}/{*}/{**}", ["/a/b/", "/a/b/c/d"], ["/a/b", "/a//c", "//b/"]],
  ["/a.b+c/{*}", ["/a.b+c/d"], ["/axb+c/d", "/a.bbc/d"]],
];

for (const [text, hits, misses] of MATCHES) {
  test(`${text} matches what it says`, () => {
    const matches = pathTest([template(text)]);
    for (const path of hits) assert.ok(matches(path), path);
    for (const path of misses) assert.ok(!matches(path), path);
  });
}

const WRONG: readonly (readonly [string, RegExp])[] = [
  ["{*}", /start with/],
  ["a/{*}", /start with/],
  ["/a/{**}/{*}", /after \{\*\*\}/],
  ["/a/{**}/b/{**}", /after \{\*\*\}/],
  ["/a/b{*}", /begin a segment/],
  ["/a/{*}{*}", /begin a segment/],
  ["/a/{*}-{*}", /begin a segment/],
  ["/a/{*}{**}", /begin a segment/],
  ["/a/{x}", /no \{\*\} or/],
  ["/a/{*", /no \{\*\} or/],
  ["/a/*}", /no \{\*\} or/],
  ["/a/{***}", /no \{\*\} or/],
  ["/a/{*}/b*", /no \{\*\} or/],
  [`/${"{*}/".repeat(33)}`, /more than 32/],
];

for (const [text, why] of WRONG) {
  test(`is no template: ${text.slice(0, 20)}`, () => {
    const result = parseTemplate(text);
    assert.ok(!result.ok);
    assert.match(result.problems[0]?.message ?? "", why);
  });
}

test("the worst template against the worst path: trying every way to divide it would not end", () => {
  const matches = pathTest([template(`/${"{*}x/".repeat(31)}{**}/end`)]);
  assert.ok(!matches(`/${"xxxxxxxx/".repeat(31)}${"/en".repeat(10_000)}`));
});

test("parts that no text gives are judged as well", () => {
  assert.match(templateProblem([]) ?? "", /start with/);
  assert.match(
    templateProblem([{ kind: "literal", text: "/" }, { kind: "one" }, { kind: "one" }]) ?? "",
    /begin/,
  );
});
