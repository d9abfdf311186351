/** Pure. The text of `docs/cli.md`, made from the command table. */
import type { Command } from "./command.ts";
import { AMBIT } from "./command-table.ts";
import { ExitCode } from "./exit-codes.ts";
import { commandLines, flagLines, usageLine } from "./help.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";

export function referencePage(): string {
  const parts = [
    "# The ambit command",
    "<!-- Made from cli/command-table.ts. To renew: UPDATE_GOLDEN=1 node --test cli/reference-page.test.ts -->",
    `${AMBIT.summary} Every command has \`--help\`.`,
    block(commandLines(AMBIT)),
    "Flags of every command:",
    block(flagLines(GLOBAL_FLAGS)),
    `Exit codes: ${Object.entries(ExitCode)
      .map(([name, code]) => `${code} ${name}`)
      .join(", ")}.`,
    ...AMBIT.commands.flatMap((command) => chapters([AMBIT, command])),
  ];
  return `${parts.join("\n\n")}\n`;
}

function chapters(path: readonly Command[]): readonly string[] {
  const command = path.at(-1);
  if (command === undefined) return [];
  const name = path.map((c) => c.name).join(" ");
  const own = [
    `${"#".repeat(path.length)} ${name}`,
    `${command.summary}.${command.description === undefined ? "" : `\n\n${command.description}`}`,
    ...(command.aliases === undefined
      ? []
      : [`Aliases: ${command.aliases.map((a) => `\`${a}\``).join(", ")}.`]),
    block([usageLine(name, command)]),
    ...(command.examples.length === 0
      ? []
      : [block(command.examples.flatMap((e) => [`# ${e.meaning}`, e.command]))]),
  ];
  if (command.kind === "group") return [...own, ...command.commands.flatMap((c) => chapters([...path, c]))];
  return [
    ...own,
    ...command.args.map((arg) => `\`${arg.name}\`: ${arg.help}.`),
    ...(Object.keys(command.flags).length === 0 ? [] : [block(flagLines(command.flags))]),
  ];
}

function block(lines: readonly string[]): string {
  return ["```", ...lines.map((line) => line.trimEnd()), "```"].join("\n");
}
