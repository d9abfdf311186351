/** Reads the fields of one entry of a rule, and remembers what could not be taken over. Lives for one entry. */
import { type JsonObject, jsonList, jsonText } from "#core/k8s/json-read.ts";
import type { MatchList } from "#core/model/authorization.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { Report } from "./policy-report.ts";

export interface RuleContext {
  readonly action: RequestPolicy["action"];
  readonly namespace: string;
  readonly report: Report;
}

/** One entry of `from`, `to` or `when` as a waypoint compares it. */
export interface Entry<M> {
  readonly match: M;
  /** Nothing is left to compare. */
  readonly empty: boolean;
  /** It has a condition on requests that nobody can judge: it counts as met where that denies or notes, as not met where that allows. */
  readonly blind: boolean;
  /** It has conditions without effect, which ztunnels leave out too. */
  readonly incomplete: boolean;
  /** It has a condition that nothing can meet, such as a list of malformed ports alone. */
  readonly impossible: boolean;
}

/** What a text means; `undefined`: malformed. `why` is for people. */
export type Convert<T> = (text: string) => { readonly value: T | undefined; readonly why?: string };

export interface FieldPair {
  readonly any: string;
  readonly none: string;
}

export class EntryReader {
  #blind = false;
  #incomplete = false;
  #impossible = false;
  readonly #fields: JsonObject;
  readonly #path: string;
  readonly #context: RuleContext;
  readonly #read = new Set<string>();

  constructor(fields: JsonObject, path: string, context: RuleContext) {
    this.#fields = fields;
    this.#path = path;
    this.#context = context;
  }

  /** Values that concern the connection: a malformed one matches nothing, as for ztunnels. */
  connection<T>(pair: FieldPair, convert: Convert<T>): MatchList<T> {
    return {
      any: this.#positive(pair.any, convert),
      none: this.#exclusions(pair.none, convert),
    };
  }

  /** Values that concern the request: where a malformed one was to deny or to note, nobody knows what, so all of its list counts as met. */
  request<T>(pair: FieldPair, convert: Convert<T>): MatchList<T> {
    if (this.#context.action === "allow") return this.connection(pair, convert);
    const any = this.#values(pair.any, convert, BLIND_NOTE[this.#context.action]);
    const none = this.#exclusions(pair.none, convert);
    if (any.length === jsonList(this.#fields[pair.any]).length) return { any, none };
    this.#blind = true;
    return { any: [], none };
  }

  /** A field that nobody can judge. */
  unjudged(field: string): void {
    this.#read.add(field);
    if (jsonList(this.#fields[field]).length > 0) this.cannotJudge(field);
  }

  cannotJudge(field: string): void {
    this.#blind = true;
    this.#context.report.unsupported(`${this.#path}.${field}`, BLIND_NOTE[this.#context.action]);
  }

  /** A field that is known to have no effect. */
  withoutEffect(field: string, note: string): void {
    this.#read.add(field);
    if (jsonList(this.#fields[field]).length === 0) return;
    this.#incomplete = true;
    this.#context.report.unsupported(`${this.#path}.${field}`, note);
  }

  /** Two lists of which one address must be in both cannot hold anything. */
  nothingMeets(): void {
    this.#impossible = true;
  }

  /** Wrong around the entry, such as a misspelt wrapper. */
  spoilt(): void {
    this.#incomplete = true;
  }

  /** Fields that nobody asked for have no effect. */
  entry<M>(match: M, lists: readonly MatchList<unknown>[]): Entry<M> {
    for (const field of Object.keys(this.#fields))
      if (!this.#read.has(field)) this.withoutEffect(field, "is not known and has no effect");
    const empty = lists.every(({ any, none }) => any.length + none.length === 0);
    const says = !empty || this.#blind || this.#incomplete || this.#impossible;
    if (!says) this.#context.report.invalid(this.#path, `is empty and ${EMPTY_NOTE[this.#context.action]}`);
    return {
      match,
      empty,
      blind: this.#blind,
      incomplete: this.#incomplete,
      impossible: this.#impossible || !says,
    };
  }

  #positive<T>(field: string, convert: Convert<T>): readonly T[] {
    const values = this.#values(field, convert, "matches nothing");
    if (values.length === 0 && jsonList(this.#fields[field]).length > 0) this.#impossible = true;
    return values;
  }

  /** An exclusion that cannot be read was to keep somebody out: an ALLOW rule without it would let them in. */
  #exclusions<T>(field: string, convert: Convert<T>): readonly T[] {
    const values = this.#values(field, convert, EXCLUSION_NOTE[this.#context.action]);
    if (values.length < jsonList(this.#fields[field]).length) this.#incomplete = true;
    return values;
  }

  #values<T>(field: string, convert: Convert<T>, malformedNote: string): readonly T[] {
    this.#read.add(field);
    const given = jsonList(this.#fields[field]).map(jsonText);
    return given.flatMap((text, i) => {
      const { value, why } = convert(text);
      const path = `${this.#path}.${field}[${i}]`;
      const quoted = `"${text.slice(0, 80)}"`;
      if (value === undefined) {
        this.#context.report.invalid(path, `${quoted} ${why ?? "is malformed"} and ${malformedNote}`);
        return [];
      }
      if (why !== undefined) this.#context.report.invalid(path, `${quoted} ${why}: it can never match`);
      return [value];
    });
  }
}

const BLIND_NOTE: Readonly<Record<RuleContext["action"], string>> = {
  allow: "cannot be judged; the rule allows nothing",
  deny: "cannot be judged; the rule denies as if it were met",
  audit: "cannot be judged; the rule notes as if it were met",
};

const EMPTY_NOTE: Readonly<Record<RuleContext["action"], string>> = {
  allow: "allows nothing",
  deny: "is ignored; the rest of the rule denies",
  audit: "is ignored; the rest of the rule notes",
};

const EXCLUSION_NOTE: Readonly<Record<RuleContext["action"], string>> = {
  allow: "would exclude nobody; the rule allows nothing",
  deny: "excludes nobody; the rule denies the more",
  audit: "excludes nobody; the rule notes the more",
};
