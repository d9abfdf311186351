/**
 * Pure. Reads fields of a JSON-like document of unknown content: every problem is noted with its path, nothing throws.
 * A reader that noted a problem gives defaults, so the caller looks at `problems` once, at the end.
 */
import type { Problem } from "#core/base/parse-result.ts";

export class DocumentReader {
  readonly problems: Problem[];
  readonly #path: string;
  readonly #value: unknown;

  constructor(value: unknown, path = "", problems: Problem[] = []) {
    this.#value = value;
    this.#path = path;
    this.problems = problems;
  }

  get isAbsent(): boolean {
    return this.#value === undefined || this.#value === null;
  }

  get isList(): boolean {
    return Array.isArray(this.#value);
  }

  fail(message: string): void {
    this.problems.push({ path: this.#path, message });
  }

  field(name: string): DocumentReader {
    const path = this.#path === "" ? name : `${this.#path}.${name}`;
    const holder = isObject(this.#value) && Object.hasOwn(this.#value, name) ? this.#value[name] : undefined;
    return new DocumentReader(holder, path, this.problems);
  }

  /** Elements of a list; absent is empty. */
  items(): readonly DocumentReader[] {
    if (this.isAbsent) return [];
    if (!Array.isArray(this.#value)) {
      this.fail("must be a list");
      return [];
    }
    return this.#value.map(
      (item: unknown, i) => new DocumentReader(item, `${this.#path}[${i}]`, this.problems),
    );
  }

  /** Entries of a map; absent is empty. */
  entries(): readonly (readonly [string, DocumentReader])[] {
    if (this.isAbsent) return [];
    if (!isObject(this.#value)) {
      this.fail("must be a map");
      return [];
    }
    return Object.keys(this.#value).map((key) => [key, this.field(key)]);
  }

  text(fallback?: string): string {
    if (typeof this.#value === "string") return this.#value;
    if (this.isAbsent && fallback !== undefined) return fallback;
    this.fail("must be a string");
    return fallback ?? "";
  }

  flag(): boolean {
    if (typeof this.#value === "boolean") return this.#value;
    if (!this.isAbsent) this.fail("must be true or false");
    return false;
  }

  /** A whole number 0 to `max`. */
  number(max: number, fallback?: number): number {
    if (this.isAbsent && fallback !== undefined) return fallback;
    const value =
      typeof this.#value === "string" && /^\d{1,10}$/.test(this.#value) ? Number(this.#value) : this.#value;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
    this.fail(`must be a whole number from 0 to ${max}`);
    return fallback ?? 0;
  }

  /** One of the keys of `choices`, letter case ignored. */
  choice<T>(choices: Readonly<Record<string, T>>, fallback: T): T {
    if (this.isAbsent) return fallback;
    const wanted = this.text().toLowerCase();
    const found = Object.entries(choices).find(([key]) => key.toLowerCase() === wanted);
    if (found !== undefined) return found[1];
    this.fail(`must be one of ${Object.keys(choices).join(", ")}`);
    return fallback;
  }

  /** What `parse` makes of the text; `fallback` and a noted problem when it cannot. */
  parsed<T>(
    parse: (text: string) => { ok: true; value: T } | { ok: false; problems: readonly Problem[] },
    fallback: T,
  ): T {
    const text = this.text();
    const result = parse(text);
    if (result.ok) return result.value;
    for (const { message } of result.problems) this.fail(message);
    return fallback;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
