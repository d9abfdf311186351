/** Pure. Help text from the command's data. */
import type { Argument, Command, CommandGroup, Flag, Flags, LeafCommand } from "./command.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";

/** `path` runs from the root to the command itself. */
export function helpText(path: readonly Command[]): string {
  const command = path.at(-1);
  if (command === undefined) return "";
  const name = path.map((c) => c.name).join(" ");
  const sections = [
    command.description === undefined ? command.summary : `${command.summary}\n\n${command.description}`,
    section("Usage", [`  ${usageLine(name, command)}`]),
    section(
      "Aliases",
      command.aliases === undefined ? [] : [`  ${[command.name, ...command.aliases].join(", ")}`],
    ),
    section(
      "Examples",
      command.examples.flatMap((e) => [`  # ${e.meaning}`, `  ${e.command}`, ""]).slice(0, -1),
    ),
    ...(command.kind === "group" ? [section("Commands", commandLines(command))] : leafSections(command)),
    section("Flags of every command", flagLines(GLOBAL_FLAGS)),
  ];
  const hint = command.kind === "group" ? [`Use "${name} <command> --help" for more about a command.`] : [];
  return `${[...sections, ...hint].filter((text) => text !== "").join("\n\n")}\n`;
}

/** `ambit ztunnel-config workload [pod[.namespace]] [flags]` */
export function usageLine(name: string, command: Command): string {
  if (command.kind === "group") return `${name} <command> [flags]`;
  return [name, ...command.args.map(argumentUsage), "[flags]"].join(" ");
}

export function flagLines(flags: Flags): readonly string[] {
  return twoColumns(Object.entries(flags).map(([name, flag]) => [flagUsage(name, flag), flagHelp(flag)]));
}

export function commandLines(group: CommandGroup): readonly string[] {
  return twoColumns(group.commands.map((c) => [`  ${c.name}`, c.summary]));
}

function leafSections(command: LeafCommand): readonly string[] {
  return [
    section("Arguments", twoColumns(command.args.map((arg) => [`  ${arg.name}`, arg.help]))),
    section("Flags", flagLines(command.flags)),
  ];
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${title}:\n${lines.join("\n")}`;
}

function argumentUsage(arg: Argument): string {
  const name = arg.repeated === true ? `${arg.name}...` : arg.name;
  return arg.required === true ? `<${name}>` : `[${name}]`;
}

function flagUsage(name: string, flag: Flag): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  return `  ${short}--${name}${placeholder(flag)}`;
}

function placeholder(flag: Flag): string {
  if (flag.kind === "switch") return "";
  return flag.kind === "choice" ? ` ${flag.choices.join("|")}` : ` ${flag.placeholder}`;
}

function flagHelp(flag: Flag): string {
  if (flag.default === undefined) return flag.help;
  return `${flag.help} (default ${flag.default})`;
}

function twoColumns(rows: readonly (readonly [left: string, right: string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}   ${right}`);
}
