/** The page of evidence says only what is there: every promise has a test or step, every file and title exists. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "..");
const page = readFileSync(join(ROOT, "docs", "evidence.md"), "utf8");

interface Promised {
  readonly promise: string;
  readonly shownBy: string;
}

const rows: readonly Promised[] = page
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| Promise"))
  .map((line) => line.split(" | "))
  .map(([promise = "", ...rest]) => ({ promise: promise.slice(2), shownBy: rest.join(" | ") }));

/** `file`: "title"; "title"; `file`: "title" */
function quoted(text: string): readonly (readonly [file: string, title: string])[] {
  return [...text.matchAll(/`([\w./-]+)`: ((?:"[^"]+"(?:; )?)+)/g)].flatMap(([, file = "", titles = ""]) =>
    [...titles.matchAll(/"([^"]+)"/g)].map((match) => [file, match[1] ?? ""] as const),
  );
}

test("every promise has something that shows it", () => {
  assert.ok(rows.length > 60, `${rows.length} promises`);
  assert.deepEqual(
    rows.filter((row) => quoted(row.shownBy).length === 0).map((row) => row.promise),
    [],
  );
});

test("every quoted title stands in its file", () => {
  const all = rows.flatMap((row) => quoted(row.shownBy));
  const missing = all.filter(([file, title]) => {
    const path = join(ROOT, file);
    return !existsSync(path) || !readFileSync(path, "utf8").includes(title);
  });
  assert.deepEqual(missing, []);
  assert.equal(all.length, [...page.matchAll(/"[^"\n]+"/g)].length, "no title is quoted in another form");
});

test("evidence is a test, a step or a suite, and no title serves where it could mean anything", () => {
  for (const [file, title] of rows.flatMap((row) => quoted(row.shownBy))) {
    assert.match(file, /\.test\.ts$|\.e2e\.ts$|^e2e\/tour\/main\.ts$|^core\/testing\/.*-conformance\.ts$/);
    assert.ok(title.trim().length >= 6, `${file}: ${title}`);
  }
});

test("what is not shown is said", () => {
  const section = page.split("## Not shown\n")[1] ?? "";
  assert.ok(section.split("\n- ").length > 8);
});
