/**
 * What a command of `ambit` is: data, plus one function. Parsing, help and docs are made from the data.
 * A new command is one file with `defineCommand` and one line in `command-table.ts`.
 */
import type { ExitCode } from "./exit-codes.ts";
import type { CommandContext } from "./context.ts";

interface FlagBase {
  /** One letter, used with one dash. */
  readonly short?: string;
  /** A phrase without a full stop. */
  readonly help: string;
}

export type Flag =
  /** Off unless it says otherwise; `--name=false` switches off. */
  | (FlagBase & { readonly kind: "switch"; readonly default?: true })
  | (FlagBase & { readonly kind: "text"; readonly placeholder: string; readonly default?: string })
  | (FlagBase & { readonly kind: "choice"; readonly choices: readonly string[]; readonly default?: string })
  | (FlagBase & {
      readonly kind: "integer";
      readonly placeholder: string;
      readonly default: number;
      readonly min: number;
      readonly max: number;
    });

export type Flags = Readonly<Record<string, Flag>>;

/** What a flag gives to `run`: absent flags without a default are undefined. */
type FlagValue<F extends Flag> = F extends { readonly kind: "switch" }
  ? boolean
  : F extends { readonly kind: "integer" }
    ? number
    : F extends { readonly default: string }
      ? string
      : string | undefined;

export type FlagValues<F extends Flags> = { readonly [K in keyof F]: FlagValue<F[K]> };

export interface Argument {
  readonly name: string;
  readonly help: string;
  readonly required?: boolean;
  /** Takes all that is left; only the last may. */
  readonly repeated?: boolean;
}

interface Example {
  readonly command: string;
  readonly meaning: string;
}

export interface Invocation<F extends Flags> {
  readonly flags: FlagValues<F>;
  /** Positional arguments, as many as were given. */
  readonly args: readonly string[];
}

interface CommandBase {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line in the list of commands. */
  readonly summary: string;
  /** Further paragraphs of `--help`. */
  readonly description?: string;
  readonly examples: readonly Example[];
}

export interface CommandDefinition<F extends Flags> extends CommandBase {
  readonly args?: readonly Argument[];
  readonly flags?: F;
  readonly run: (invocation: Invocation<F>, context: CommandContext) => Promise<ExitCode>;
}

/** A command that does something. */
export interface LeafCommand extends CommandBase {
  readonly kind: "command";
  readonly args: readonly Argument[];
  readonly flags: Flags;
  readonly run: (invocation: Invocation<Flags>, context: CommandContext) => Promise<ExitCode>;
}

/** A command that only holds others. */
export interface CommandGroup extends CommandBase {
  readonly kind: "group";
  readonly commands: readonly Command[];
}

export type Command = LeafCommand | CommandGroup;

/** Keeps the types of the flags for `run` and forgets them for the table. */
export function defineCommand<const F extends Flags>(definition: CommandDefinition<F>): LeafCommand {
  const { run, args = [], flags, ...base } = definition;
  return {
    ...base,
    kind: "command",
    args,
    flags: flags ?? {},
    // The parser makes values by the very flags of this definition.
    run: (invocation, context) => run(invocation as unknown as Invocation<F>, context),
  };
}

export function defineGroup(group: Omit<CommandGroup, "kind">): CommandGroup {
  return { ...group, kind: "group" };
}
