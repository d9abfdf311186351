/** What admission takes and what translation calls wrong are the same, pattern by pattern. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { neverMatches, pathPattern, type RequestText } from "./path-pattern.ts";

const crd = readFileSync(new URL("../../crds/authorization-policy.yaml", import.meta.url), "utf8");

const LIST = "[]";

interface Schema {
  readonly pattern?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** The schema of one text of `field`, in each served version. */
function schemasOf(field: string): readonly Schema[] {
  const { spec } = parse(crd) as {
    spec: { versions: readonly { schema: { openAPIV3Schema: Schema } }[] };
  };
  const path = ["spec", "rules", LIST, "to", LIST, "operation", field, LIST];
  return spec.versions.map(({ schema }) => {
    const item = path.reduce<Schema | undefined>(
      (at, name) => (name === LIST ? at?.items : at?.properties?.[name]),
      schema.openAPIV3Schema,
    );
    assert.ok(item?.pattern !== undefined, field);
    return item;
  });
}

function isWrong(dimension: RequestText, text: string): boolean {
  const malformed = dimension === "paths" && pathPattern(text).kind === "malformed";
  return malformed || neverMatches(dimension, text) !== undefined;
}

const PIECES: Readonly<Record<RequestText, readonly string[]>> = {
  paths: [
    "/",
    "a",
    ".",
    "..",
    "*",
    "{*}",
    "{**}",
    "{",
    "}",
    "?",
    "#",
    " ",
    "\\",
    ";",
    "%2F",
    "-",
    "é",
    ".json",
    ",",
  ],
  hosts: ["a", ".", ":", "80", "*", "[", "]", "::1", "/", "_", "-", " ", "@", "%", "é", "A"],
  methods: ["GET", "P", "*", "-", "get", " ", "_", "1", "É"],
};

for (const dimension of ["paths", "hosts", "methods"] as const) {
  for (const field of [dimension, `not${dimension.charAt(0).toUpperCase()}${dimension.slice(1)}`]) {
    test(`${field}: one judgement`, () => {
      const schemas = schemasOf(field);
      assert.equal(schemas.length, 2);
      const seen = { taken: 0, refused: 0 };
      const text = fc
        .array(fc.constantFrom(...PIECES[dimension]), { maxLength: 7 })
        .map((pieces) => pieces.join(""));
      const slashed = fc.oneof(
        text,
        text.map((some) => (dimension === "paths" ? `/${some}` : some)),
      );
      fc.assert(
        fc.property(slashed, (some) => {
          for (const { pattern = "" } of schemas) {
            const taken = new RegExp(pattern).test(some);
            seen[taken ? "taken" : "refused"]++;
            assert.equal(taken, !isWrong(dimension, some), some);
          }
        }),
        { numRuns: 4000 },
      );
      assert.ok(seen.taken > 100 && seen.refused > 100, JSON.stringify(seen));
    });
  }
}
