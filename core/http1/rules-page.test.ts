/** docs/http-rules.md quotes the words of refusals: those that the code says, and all of those about requests. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const sources = globSync("core/{http,http1}/*.ts", { cwd: ROOT }).filter(
  (file) => !file.endsWith(".test.ts"),
);
const code = sources.map((file) => readFileSync(join(ROOT, file), "utf8")).join("\n");
const page = readFileSync(join(ROOT, "docs/http-rules.md"), "utf8");

test("what the page quotes is what a caller is told", () => {
  const rows = page.split("\n").filter((line) => /^\| .* \| .*\b[45]\d\d\b.* \| .*`.* \|$/.test(line));
  assert.ok(rows.length > 20, `${rows.length} rows`);
  for (const row of rows) {
    const words = [...(row.split(" | ").at(-1) ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
    assert.ok(words.length > 0, row);
    for (const word of words) assert.ok(code.includes(`"${word}"`), `nobody says "${word}"`);
  }
});

test("every reason to refuse a request is on the page", () => {
  const reasons = [...code.matchAll(/refusal\(4\d\d, "([^"]+)"\)|refusal\(50[15], "([^"]+)"\)/g)];
  assert.ok(reasons.length > 15, `${reasons.length} reasons`);
  for (const [, one, other] of reasons) {
    const reason = one ?? other ?? "";
    assert.ok(page.includes(`\`${reason}\``), `the page does not say "${reason}"`);
  }
});
