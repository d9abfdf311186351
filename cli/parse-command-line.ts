/** Pure. The words after `ambit` to a command with its values, to help, or to a sentence about what is wrong. */
import { parseArgs } from "node:util";
import type { Command, CommandGroup, Flag, Flags, FlagValues, Invocation, LeafCommand } from "./command.ts";
import type { GlobalOptions } from "./context.ts";
import { GLOBAL_FLAGS, globalOptions } from "./global-flags.ts";
import { closest } from "./closest.ts";

export type CommandLine =
  | {
      readonly kind: "run";
      readonly command: LeafCommand;
      readonly invocation: Invocation<Flags>;
      readonly options: GlobalOptions;
    }
  | { readonly kind: "help"; readonly path: readonly Command[] }
  | { readonly kind: "wrong"; readonly message: string; readonly path: readonly Command[] };

/** `root` is the group of all commands. */
export function parseCommandLine(root: CommandGroup, words: readonly string[]): CommandLine {
  const { path, rest, unknown } = findCommand(root, words);
  if (unknown !== undefined) return { kind: "wrong", path, message: unknown };
  const last = path.at(-1) ?? root;
  if (last.kind === "group") return groupAlone(path, rest);
  const parsed = parseValues({ ...last.flags, ...GLOBAL_FLAGS }, rest);
  if (parsed.kind === "wrong") return { ...parsed, path };
  if (parsed.values["help"] === true) return { kind: "help", path };
  const problem = positionalProblem(last, parsed.positionals);
  if (problem !== undefined) return { kind: "wrong", path, message: problem };
  return {
    kind: "run",
    command: last,
    invocation: { flags: parsed.values as FlagValues<Flags>, args: parsed.positionals },
    options: globalOptions(parsed.values as FlagValues<typeof GLOBAL_FLAGS>),
  };
}

interface Found {
  readonly path: readonly Command[];
  /** All words but the names of commands. */
  readonly rest: readonly string[];
  readonly unknown?: string;
}

/** Walks down the groups; only global flags may come before a command's name. */
function findCommand(root: CommandGroup, words: readonly string[]): Found {
  const path: Command[] = [root];
  const rest: string[] = [];
  let group = root;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word.startsWith("-")) {
      rest.push(word);
      if (takesNextWord(word) && at + 1 < words.length) rest.push(words[++at] as string);
      continue;
    }
    if (word === "help") return { path, rest: ["--help", ...helpTarget(group, words.slice(at + 1), path)] };
    const next = group.commands.find((c) => c.name === word || c.aliases?.includes(word));
    if (next === undefined) return { path, rest, unknown: unknownCommand(group, word) };
    path.push(next);
    if (next.kind === "command") return { path, rest: [...rest, ...words.slice(at + 1)] };
    group = next;
  }
  return { path, rest };
}

/** `ambit help zc workload` is `ambit zc workload --help`. Extends `path`; nothing is left over. */
function helpTarget(group: CommandGroup, words: readonly string[], path: Command[]): readonly string[] {
  let at: Command = group;
  for (const word of words) {
    if (at.kind !== "group") break;
    const next: Command | undefined = at.commands.find((c) => c.name === word || c.aliases?.includes(word));
    if (next === undefined) break;
    path.push(next);
    at = next;
  }
  return [];
}

function takesNextWord(word: string): boolean {
  if (word.includes("=")) return false;
  const name = word.replace(/^--?/, "");
  const entry = Object.entries<Flag>(GLOBAL_FLAGS).find(([long, flag]) =>
    word.startsWith("--") ? long === name : flag.short === name,
  );
  return entry !== undefined && entry[1].kind !== "switch";
}

function unknownCommand(group: CommandGroup, word: string): string {
  const names = group.commands.map((c) => c.name);
  const guess = closest(word, names);
  return `unknown command "${word}"${guess === undefined ? "" : `; did you mean "${guess}"?`}`;
}

function groupAlone(path: readonly Command[], rest: readonly string[]): CommandLine {
  const parsed = parseValues(GLOBAL_FLAGS, rest);
  return parsed.kind === "wrong" ? { ...parsed, path } : { kind: "help", path };
}

type Values =
  | {
      readonly kind: "values";
      readonly values: Readonly<Record<string, string | boolean | number | undefined>>;
      readonly positionals: readonly string[];
    }
  | { readonly kind: "wrong"; readonly message: string };

function parseValues(flags: Flags, words: readonly string[]): Values {
  const { tokens } = parseArgs({
    args: [...words],
    options: Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, parserOption(flag)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values: Record<string, string | boolean | number | undefined> = defaults(flags);
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (flag === undefined) return { kind: "wrong", message: unknownFlag(flags, token.rawName) };
    const value = readValue(flag, token.rawName, token.value);
    if (value.kind === "wrong") return value;
    values[token.name] = value.value;
  }
  return { kind: "values", values, positionals };
}

function parserOption(flag: Flag): { type: "string" | "boolean"; short?: string } {
  const type = flag.kind === "switch" ? "boolean" : "string";
  return flag.short === undefined ? { type } : { type, short: flag.short };
}

function defaults(flags: Flags): Record<string, string | boolean | number | undefined> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      name,
      flag.kind === "switch" ? (flag.default ?? false) : flag.default,
    ]),
  );
}

function unknownFlag(flags: Flags, rawName: string): string {
  const guess = closest(rawName.replace(/^--?/, ""), Object.keys(flags));
  return `unknown flag ${rawName}${guess === undefined ? "" : `; did you mean --${guess}?`}`;
}

type Value =
  | { readonly kind: "value"; readonly value: string | boolean | number }
  | { readonly kind: "wrong"; readonly message: string };

function readValue(flag: Flag, rawName: string, text: string | undefined): Value {
  if (flag.kind === "switch") return readSwitch(rawName, text);
  if (text === undefined) return { kind: "wrong", message: `${rawName} needs a value` };
  if (flag.kind === "choice" && !flag.choices.includes(text))
    return { kind: "wrong", message: `${rawName} is one of ${flag.choices.join(", ")}, not "${text}"` };
  if (flag.kind !== "integer") return { kind: "value", value: text };
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return value >= flag.min && value <= flag.max
    ? { kind: "value", value }
    : { kind: "wrong", message: `${rawName} is a number from ${flag.min} to ${flag.max}, not "${text}"` };
}

function readSwitch(rawName: string, text: string | undefined): Value {
  if (text === undefined || text === "true") return { kind: "value", value: true };
  return text === "false"
    ? { kind: "value", value: false }
    : { kind: "wrong", message: `${rawName} takes no value` };
}

function positionalProblem(command: LeafCommand, given: readonly string[]): string | undefined {
  const missing = command.args.find((arg, i) => arg.required === true && given[i] === undefined);
  if (missing !== undefined) return `missing argument <${missing.name}>: ${missing.help}`;
  const takesAny = command.args.at(-1)?.repeated === true;
  const surplus = given[command.args.length];
  return takesAny || surplus === undefined ? undefined : `unexpected argument "${surplus}"`;
}
