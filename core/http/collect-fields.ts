/** HOT PATH, pure. One pass over the field lines of a head: what goes on end to end, and what is only said to us. */
import { type FieldRole, isConfusable, mayBeNominated, roleOf } from "./field-roles.ts";
import { tokensOf } from "./list-field.ts";
import type { HttpField } from "./message.ts";

export interface CollectedFields {
  /** End to end. */
  readonly fields: readonly HttpField[];
  readonly host: string | undefined;
  readonly length: string | undefined;
  readonly lengthLines: number;
  readonly coding: string | undefined;
  readonly codingLines: number;
  readonly expect: string | undefined;
  readonly expectLines: number;
  /** `connection` says so. */
  readonly closes: boolean;
  /** `upgrade` names websocket and `connection` names upgrade. */
  readonly websocket: boolean;
  /** A field that may not be there in HTTP/2. */
  readonly connectionSpecific: boolean;
}

export type Side = "request" | "response";

/** A text is the reason of a refusal. `fieldsRead`: names that the policy in force reads. */
export function collectFields(
  lines: readonly HttpField[],
  side: Side,
  fieldsRead: ReadonlySet<string>,
): CollectedFields | string {
  const collector = new Collector(side, fieldsRead);
  for (const line of lines) {
    const reason = collector.take(line);
    if (reason !== undefined) return reason;
  }
  return collector.finish() ?? collector;
}

class Collector implements CollectedFields {
  fields: HttpField[] = [];
  host: string | undefined = undefined;
  length: string | undefined = undefined;
  lengthLines = 0;
  coding: string | undefined = undefined;
  codingLines = 0;
  expect: string | undefined = undefined;
  expectLines = 0;
  closes = false;
  websocket = false;
  connectionSpecific = false;
  readonly #isRequest: boolean;
  readonly #fieldsRead: ReadonlySet<string>;
  #singles = 0;
  #upgradeNominated = false;
  #nominated: string[] | undefined = undefined;

  constructor(side: Side, fieldsRead: ReadonlySet<string>) {
    this.#isRequest = side === "request";
    this.#fieldsRead = fieldsRead;
  }

  take(line: HttpField): string | undefined {
    const role = roleOf(line.name);
    if (role === "plain") {
      this.fields.push(line);
      return undefined;
    }
    if (role === undefined) {
      if (this.#isRequest && isConfusable(line.name, this.#fieldsRead)) return CONFUSABLE;
      this.fields.push(line);
      return undefined;
    }
    return role === "single" ? this.#single(line) : this.#special(role, line);
  }

  /** After the last line: what `connection` named is removed, or refused. */
  finish(): string | undefined {
    if (!this.#upgradeNominated) this.websocket = false;
    if (this.#nominated === undefined) return undefined;
    const nominated = this.#nominated;
    if (this.#isRequest && !nominated.every((name) => mayBeNominated(name, this.#fieldsRead)))
      return NOMINATED;
    this.fields = this.fields.filter((field) => !nominated.includes(field.name));
    return undefined;
  }

  #single(line: HttpField): string | undefined {
    const bit = line.name === "authorization" ? 1 : 2;
    if (this.#isRequest && (this.#singles & bit) !== 0) return SINGLE_TWICE;
    this.#singles |= bit;
    this.fields.push(line);
    return undefined;
  }

  #special(role: Exclude<FieldRole, "plain" | "single">, line: HttpField): string | undefined {
    switch (role) {
      case "host":
        return this.#hostLine(line.value);
      case "content-length":
        this.length = line.value;
        this.lengthLines++;
        return undefined;
      case "expect":
        this.expect = line.value;
        this.expectLines++;
        return undefined;
      case "te":
        this.#te(line);
        return undefined;
      case "to-proxy":
        return undefined;
      case "connection":
      case "hop-by-hop":
      case "transfer-encoding":
      case "upgrade":
        this.connectionSpecific = true;
        return this.#connectionSpecific(role, line.value);
    }
  }

  #connectionSpecific(
    role: "transfer-encoding" | "connection" | "upgrade" | "hop-by-hop",
    value: string,
  ): string | undefined {
    if (role === "connection") return this.#connection(value);
    if (role === "transfer-encoding") {
      this.coding = value;
      this.codingLines++;
    }
    if (role === "upgrade") this.websocket ||= tokensOf(value, "protocol")?.includes("websocket") === true;
    return undefined;
  }

  #hostLine(value: string): string | undefined {
    if (this.host !== undefined && this.#isRequest) return "host twice";
    this.host = value;
    return undefined;
  }

  /** `te` is between neighbours too; "trailers" is what the far end needs to know (gRPC insists on it). */
  #te(line: HttpField): void {
    if (this.#isRequest && line.value.toLowerCase() === "trailers") this.fields.push(line);
  }

  #connection(value: string): string | undefined {
    const tokens = tokensOf(value, "token");
    if (tokens === undefined) return "connection is not a list of tokens";
    for (const token of tokens) {
      if (token === "close") this.closes = true;
      else if (token === "upgrade") this.#upgradeNominated = true;
      else if (token !== "te" && token !== "keep-alive") (this.#nominated ??= []).push(token);
    }
    return undefined;
  }
}

const CONFUSABLE = "field name that servers may read as another one";
const NOMINATED = "connection names a field that decisions rest on";
const SINGLE_TWICE = "field twice that may be there once";
