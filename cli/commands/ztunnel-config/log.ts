/** `ambit ztunnel-config log` */
import { deadline } from "#core/base/abort.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { defineCommand } from "../../command.ts";
import { usageError } from "../../errors.ts";
import { ExitCode } from "../../exit-codes.ts";
import { printableLines } from "../../render/printable.ts";
import { chooseZtunnels, SOURCE_FLAGS } from "./dump-source.ts";

const LOG_TIMEOUT_MS = 10_000;
/** Words that others use for the same levels. */
const SYNONYMS: Readonly<Record<string, string>> = { warning: "warn", critical: "error" };

export const logCommand = defineCommand({
  name: "log",
  aliases: ["o"],
  summary: "Show or change the log levels of ztunnels while they run",
  args: [{ name: "ztunnel-pod[.namespace]", help: "only this ztunnel (or the one of this pod's node)" }],
  flags: {
    level: {
      kind: "text",
      placeholder: "LEVELS",
      help: "a level (trace, debug, info, warn, error, off), or scope:level pairs with commas between",
    },
    reset: { kind: "switch", short: "r", help: "back to the levels of the start" },
    node: SOURCE_FLAGS.node,
    "proxy-admin-port": SOURCE_FLAGS["proxy-admin-port"],
  },
  examples: [
    { command: "ambit ztunnel-config log", meaning: "The levels of every ztunnel" },
    { command: "ambit zc log --level debug --node n1", meaning: "More, on one node" },
    { command: "ambit zc log --level access:debug,xds:trace", meaning: "More from two scopes" },
    { command: "ambit zc log -r", meaning: "Back to normal" },
  ],
  run: async ({ flags, args }, context) => {
    if (flags.reset && flags.level !== undefined) throw usageError("--reset and --level exclude each other");
    if (flags.node !== undefined && args[0] !== undefined)
      throw usageError("a pod and --node exclude each other");
    const { access, pods } = await chooseZtunnels(flags.node, args[0], context);
    const path = `/logging${loggingQuery(flags.level, flags.reset)}`;
    for (const pod of pods) {
      const address = { namespace: pod.namespace, name: pod.name, port: flags["proxy-admin-port"] };
      const signal = deadline(LOG_TIMEOUT_MS, context.signal);
      const reply = await access.transport.request(address, { method: "POST", path }, signal);
      const name = `${pod.name}.${pod.namespace}`;
      if (reply.status !== 200)
        throw new AmbitError("CLI_BAD_REPLY", `${name} refused: ${reply.status} ${reply.body.trim()}`);
      context.out(`${name}:\n${printableLines(reply.body.trimEnd())}\n`);
    }
    return ExitCode.ok;
  },
});

/** Empty to list. */
export function loggingQuery(level: string | undefined, reset: boolean): string {
  if (reset) return "?reset";
  if (level === undefined) return "";
  const pairs = level.split(",").map((part) => {
    const at = part.lastIndexOf(":") + 1;
    const name = part.slice(at).trim().toLowerCase();
    return part.slice(0, at) + (SYNONYMS[name] ?? name);
  });
  return `?level=${encodeURIComponent(pairs.join(","))}`;
}
