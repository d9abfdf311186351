import assert from "node:assert/strict";
import test from "node:test";
import { closest } from "./closest.ts";
import { defineCommand, defineGroup } from "./command.ts";
import { ExitCode } from "./exit-codes.ts";
import { helpText } from "./help.ts";
import { parseCommandLine, type CommandLine } from "./parse-command-line.ts";

const COPY = defineCommand({
  name: "copy",
  aliases: ["cp"],
  summary: "Copies",
  args: [
    { name: "from", help: "what", required: true },
    { name: "to", help: "where", repeated: true },
  ],
  flags: {
    mode: { kind: "choice", short: "m", choices: ["fast", "safe"], default: "safe", help: "how" },
    file: { kind: "text", short: "f", placeholder: "FILE", help: "which" },
    count: { kind: "integer", placeholder: "N", default: 3, min: 1, max: 10, help: "how often" },
    force: { kind: "switch", help: "really" },
  },
  examples: [{ command: "tool sub copy a b", meaning: "One file" }],
  run: () => Promise.resolve(ExitCode.ok),
});
const ONE = defineCommand({
  name: "one",
  summary: "No arguments",
  examples: [],
  run: () => Promise.resolve(ExitCode.ok),
});
const ROOT = defineGroup({
  name: "tool",
  summary: "A tool",
  examples: [],
  commands: [
    defineGroup({ name: "sub", aliases: ["s"], summary: "Group", examples: [], commands: [COPY, ONE] }),
    ONE,
  ],
});

function parse(words: string): CommandLine {
  return parseCommandLine(ROOT, words === "" ? [] : words.split(" "));
}

const accepted = [
  { words: "sub copy a", flags: { mode: "safe", count: 3, force: false }, args: ["a"] },
  { words: "s cp a b c", flags: { mode: "safe", count: 3, force: false }, args: ["a", "b", "c"] },
  {
    words: "sub copy --mode=fast a -f - --count 10 --force",
    flags: { mode: "fast", count: 10, force: true, file: "-" },
    args: ["a"],
  },
  {
    words: "sub copy -m fast -fx a",
    flags: { mode: "fast", count: 3, force: false, file: "x" },
    args: ["a"],
  },
  { words: "sub copy -- --odd-name", flags: { mode: "safe", count: 3, force: false }, args: ["--odd-name"] },
  {
    words: "sub copy a --mode fast --mode safe",
    flags: { mode: "safe", count: 3, force: false },
    args: ["a"],
  },
];

for (const { words, flags, args } of accepted) {
  test(`"${words}" runs`, () => {
    const line = parse(words);
    assert.equal(line.kind, "run");
    assert.equal(line.command, COPY);
    assert.deepEqual(line.invocation.args, args);
    const given = line.invocation.flags as Record<string, unknown>;
    for (const [name, value] of Object.entries(flags)) assert.equal(given[name], value, name);
  });
}

test("global flags may come before, between and after", () => {
  for (const words of [
    "-n shop --kubeconfig k sub -i sys one",
    "sub one -n shop -i sys --kubeconfig=k",
    "--namespace=shop sub --kubeconfig k one -i sys",
  ]) {
    const line = parse(words);
    assert.equal(line.kind, "run");
    assert.deepEqual(line.options, {
      kubeconfig: "k",
      context: undefined,
      namespace: "shop",
      systemNamespace: "sys",
    });
  }
});

const wrong = [
  { words: "sbu", message: 'unknown command "sbu"; did you mean "sub"?' },
  { words: "sub nothing", message: 'unknown command "nothing"' },
  { words: "sub copy", message: "missing argument <from>: what" },
  { words: "one a", message: 'unexpected argument "a"' },
  { words: "sub copy a --mod fast", message: "unknown flag --mod; did you mean --mode?" },
  { words: "sub copy a -x", message: "unknown flag -x" },
  { words: "sub copy a --mode quick", message: '--mode is one of fast, safe, not "quick"' },
  { words: "sub copy a --count 11", message: '--count is a number from 1 to 10, not "11"' },
  { words: "sub copy a --count -1", message: '--count is a number from 1 to 10, not "-1"' },
  { words: "sub copy a --count 1e1", message: '--count is a number from 1 to 10, not "1e1"' },
  { words: "sub copy a --file", message: "--file needs a value" },
  { words: "sub copy a --force=maybe", message: "--force takes no value" },
  { words: "--nope", message: "unknown flag --nope" },
  { words: "sub copy a --__proto__=1", message: "unknown flag --__proto__" },
];

for (const { words, message } of wrong) {
  test(`"${words}" is refused: ${message}`, () => {
    const line = parse(words);
    assert.equal(line.kind === "wrong" && line.message, message);
  });
}

for (const words of [
  "",
  "sub",
  "--help",
  "-h",
  "sub --help",
  "sub copy --help",
  "sub copy a -h",
  "-h sub copy",
  "help sub copy",
  "sub help copy",
]) {
  test(`"${words}" shows help`, () => {
    const line = parse(words);
    assert.equal(line.kind, "help");
    const depth = ["", "--help", "-h"].includes(words) ? 1 : words.includes("copy") ? 3 : 2;
    assert.equal(line.path.length, depth);
  });
}

test("help names usage, aliases, arguments, flags with defaults, and examples", () => {
  const text = helpText([ROOT, COPY]);
  for (const part of [
    "tool copy <from> [to...] [flags]",
    "copy, cp",
    "-m, --mode fast|safe",
    "(default safe)",
    "--count N",
    "# One file",
    "--kubeconfig FILE",
  ])
    assert.ok(text.includes(part), part);
});

test("closest finds near misses and beginnings, and nothing else", () => {
  const words = ["workload", "service", "policy", "certificate"];
  assert.deepEqual(
    ["wrokload", "polciy", "cert", "zzz", "p", ""].map((word) => closest(word, words)),
    ["workload", "policy", "certificate", undefined, undefined, undefined],
  );
});
