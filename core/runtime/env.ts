/**
 * Typed reader of environment variables: the only place that sees `process.env`.
 * A config collects all its variables first and then reports every problem at once.
 */
import type { Parsed, Problem } from "../base/parse-result.ts";

export interface VariableHelp<T> {
  readonly default?: T;
  readonly help: string;
}

/** One variable as read: kept for `--help` and docs. */
export interface VariableUse {
  readonly name: string;
  readonly help: string;
  readonly default: string | undefined;
}

export class EnvReader {
  readonly #source: Readonly<Record<string, string | undefined>>;
  readonly #problems: Problem[] = [];
  readonly #uses: VariableUse[] = [];

  constructor(source: Readonly<Record<string, string | undefined>> = process.env) {
    this.#source = source;
  }

  string(name: string, options: VariableHelp<string>): string {
    return this.#read(name, options, (text) => text) ?? "";
  }

  /** One of `choices`, as written there. */
  choice<T extends string>(
    name: string,
    options: VariableHelp<T> & { readonly choices: readonly [T, ...T[]] },
  ): T {
    const { choices } = options;
    return this.#read(name, options, (text) => choices.find((choice) => choice === text)) ?? choices[0];
  }

  boolean(name: string, options: VariableHelp<boolean>): boolean {
    const value = this.#read(name, options, (text) => {
      if (text === "true" || text === "1") return true;
      return text === "false" || text === "0" ? false : undefined;
    });
    return value ?? false;
  }

  integer(
    name: string,
    options: VariableHelp<number> & { readonly min?: number; readonly max?: number },
  ): number {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
    const value = this.#read(name, options, (text) => {
      const parsedNumber = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return parsedNumber >= min && parsedNumber <= max ? parsedNumber : undefined;
    });
    return value ?? 0;
  }

  port(name: string, options: VariableHelp<number>): number {
    return this.integer(name, { ...options, min: 0, max: 65_535 });
  }

  /** `250ms`, `10s`, `5m`, `24h`; the result is milliseconds. */
  durationMs(name: string, options: VariableHelp<number>): number {
    return this.#read(name, options, parseDurationMs) ?? 0;
  }

  list(name: string, options: VariableHelp<readonly string[]>): readonly string[] {
    return (
      this.#read(name, options, (text) =>
        text
          .split(",")
          .map((s) => s.trim())
          .filter((s) => s !== ""),
      ) ?? []
    );
  }

  /** The value, or every problem of the variables read so far. */
  collect<T>(value: T): Parsed<T> {
    return this.#problems.length === 0 ? { ok: true, value } : { ok: false, problems: this.#problems };
  }

  /** What was asked for, in order. */
  uses(): readonly VariableUse[] {
    return this.#uses;
  }

  #read<T>(name: string, options: VariableHelp<T>, convert: (text: string) => T | undefined): T | undefined {
    const fallback = options.default;
    this.#uses.push({
      name,
      help: options.help,
      default: fallback === undefined ? undefined : String(fallback),
    });
    const text = this.#source[name];
    if (text === undefined || text === "") {
      if (fallback === undefined)
        this.#problems.push({ path: name, message: `is required: ${options.help}` });
      return fallback;
    }
    const value = convert(text);
    if (value === undefined)
      this.#problems.push({ path: name, message: `has an invalid value: ${options.help}` });
    return value;
  }
}

export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""];
  return match === null || unitMs === undefined ? undefined : Math.round(Number(match[1]) * unitMs);
}
