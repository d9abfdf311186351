/** The vectors of path normalisation, and what must hold of any path. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import type { PathNormalization } from "../model/waypoint-config.ts";
import { normalizeTarget } from "./normalize-path.ts";

interface PathVector {
  readonly id: string;
  readonly name: string;
  readonly input: string;
  readonly expect: Readonly<Record<string, string | number>>;
}

const OPTIONS: Readonly<Record<string, PathNormalization>> = {
  NONE: "none",
  BASE: "base",
  MERGE_SLASHES: "merge-slashes",
  DECODE_AND_MERGE_SLASHES: "decode-and-merge-slashes",
};

function outcome(target: string, option: PathNormalization): string | number {
  const result = normalizeTarget(target, option);
  return result.kind === "normalized" ? result.target : result.refusal.status;
}

const file = new URL("testdata/path-vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as { vectors: readonly PathVector[] };

test("all vectors are there", () => assert.equal(vectors.length, 52));

for (const { id, name, input, expect } of vectors) {
  test(`${id} ${name}`, () => {
    assert.equal(Object.keys(expect).length, 4);
    for (const [option, wanted] of Object.entries(expect))
      assert.equal(outcome(input, OPTIONS[option] ?? "base"), wanted, option);
  });
}

test("dot segments and empty ones, as RFC 3986 has it", () => {
  for (const [input, base, merged] of [
    ["/a//../b", "/a/b", "/a/b"],
    ["/a//", "/a//", "/a/"],
    ["/a/.", "/a/", "/a/"],
    ["/a/..", "/", "/"],
    ["//../a", "/a", "/a"],
    ["/...", "/...", "/..."],
    ["/a/.../b", "/a/.../b", "/a/.../b"],
    ["*", "*", "*"],
  ] as const) {
    assert.equal(outcome(input, "base"), base);
    assert.equal(outcome(input, "merge-slashes"), merged);
  }
});

test("only the path is looked at: a query may hold anything", () => {
  for (const option of Object.values(OPTIONS)) {
    assert.equal(outcome("/a?x=%00&y=%zz&z=/../\\", option), "/a?x=%00&y=%zz&z=/../\\");
    assert.equal(outcome("/a?b?c", option), "/a?b?c");
  }
});

const piece = fc.constantFrom(
  ..."/ . .. a A %2e %2E %2f %2F %5c %5C %41 %25 %252e %3B ; = \\ | { } ^ ~ - _ %7e %c3%a9 %20 ".split(" "),
);
const path = fc.array(piece, { maxLength: 14 }).map((pieces) => `/${pieces.join("")}`);
const option = fc.constantFrom<PathNormalization>("base", "merge-slashes", "decode-and-merge-slashes");

function pathOf(target: string, choice: PathNormalization): string {
  const result = normalizeTarget(target, choice);
  assert.ok(result.kind === "normalized");
  return result.path;
}

test("a second round changes nothing, and no dot segment, raw backslash or escaped letter is left", () => {
  let changed = 0;
  fc.assert(
    fc.property(path, option, (input, choice) => {
      const once = pathOf(input, choice);
      if (once !== input) changed++;
      assert.equal(pathOf(once, choice), once);
      assert.ok(once.startsWith("/"));
      assert.doesNotMatch(once, /\/\.\.?(?:\/|$)/);
      assert.doesNotMatch(once, /[\\"<>^{|}`]|%(?:2[de]|[46][1-9a-f]|[57][0-9a]|3[0-9]|5f|7e)/i);
      if (choice !== "base") assert.doesNotMatch(once, /\/\//);
      if (choice === "decode-and-merge-slashes") assert.doesNotMatch(once, /%2f|%5c/i);
    }),
    { numRuns: 5000 },
  );
  assert.ok(changed > 1000, `${changed} paths changed`);
});

test("the slow way gives the same: one character at a time, segment by segment", () => {
  fc.assert(
    fc.property(path, option, (input, choice) => assert.equal(pathOf(input, choice), slow(input, choice))),
    { numRuns: 5000 },
  );
});

function slow(input: string, choice: PathNormalization): string {
  let text = "";
  for (let i = 0; i < input.length; i++) {
    const character = input[i] ?? "";
    const escape = input.slice(i, i + 3);
    if (character === "%") {
      const decoded = decodeURIComponentOrNothing(escape);
      const slash = choice === "decode-and-merge-slashes" && /[/\\]/.test(decoded);
      text += slash ? "/" : /[a-z0-9._~-]/i.test(decoded) ? decoded : escape;
      i += 2;
    } else if (character === "\\") text += "/";
    else text += '"<>^{|}`'.includes(character) ? encodeURIComponent(character) : character;
  }
  const out: string[] = [];
  const segments = text.slice(1).split("/");
  segments.forEach((segment, i) => {
    if (segment === "..") out.pop();
    if (segment !== ".." && segment !== ".") out.push(segment);
    else if (i === segments.length - 1) out.push("");
  });
  const joined = `/${out.join("/")}`;
  return choice === "base" ? joined : joined.replace(/\/+/g, "/");
}

function decodeURIComponentOrNothing(escape: string): string {
  try {
    return decodeURIComponent(escape);
  } catch {
    return "";
  }
}
