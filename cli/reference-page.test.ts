import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { Command } from "./command.ts";
import { AMBIT } from "./command-table.ts";
import { parseCommandLine } from "./parse-command-line.ts";
import { referencePage } from "./reference-page.ts";

const PAGE = join(import.meta.dirname, "..", "docs", "cli.md");

test("docs/cli.md is what the command table says", () => {
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(PAGE, referencePage());
  assert.equal(
    readFileSync(PAGE, "utf8"),
    referencePage(),
    "renew it: UPDATE_GOLDEN=1 node --test cli/reference-page.test.ts",
  );
});

function all(command: Command): readonly Command[] {
  return command.kind === "group" ? [command, ...command.commands.flatMap(all)] : [command];
}

for (const command of all(AMBIT)) {
  test(`${command.name} has a summary and examples, and the examples parse`, () => {
    assert.match(command.summary, /^[A-Z]/);
    assert.ok(command.examples.length > 0);
    for (const { command: text } of command.examples) {
      const [name, ...words] = text.replace(/ [|>].*$/, "").split(" ");
      assert.equal(name, "ambit");
      const line = parseCommandLine(AMBIT, words);
      assert.notEqual(line.kind, "wrong", `${text}: ${line.kind === "wrong" ? line.message : ""}`);
    }
  });
}

test("no two commands of a group share a name or an alias", () => {
  for (const group of all(AMBIT)) {
    if (group.kind !== "group") continue;
    const names = group.commands.flatMap((c) => [c.name, ...(c.aliases ?? [])]);
    assert.deepEqual(names, [...new Set(names)]);
  }
});
