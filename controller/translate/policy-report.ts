/** Collects what could not be taken over from one object while it is translated. Lives for one call. */
import type { KubeObject } from "#core/k8s/object-types.ts";
import type { ProblemReason, TranslationProblem } from "./problem.ts";

export class Report {
  readonly problems: TranslationProblem[] = [];
  readonly #kind: string;
  readonly #object: KubeObject;

  constructor(kind: string, object: KubeObject) {
    this.#kind = kind;
    this.#object = object;
  }

  add(path: string, reason: ProblemReason, message: string): void {
    const { namespace, name, generation } = this.#object.metadata;
    this.problems.push({ kind: this.#kind, namespace, name, generation, path, reason, message });
  }

  unsupported(path: string, message: string): void {
    this.add(path, "UnsupportedValue", message);
  }

  invalid(path: string, message: string): void {
    this.add(path, "Invalid", message);
  }

  /** Reports every field of `value` that nobody reads. True when there was one. */
  unknownFields(value: Readonly<Record<string, unknown>>, known: ReadonlySet<string>, path: string): boolean {
    const unknown = Object.keys(value).filter((field) => !known.has(field));
    for (const field of unknown) this.unsupported(`${path}.${field}`, "is not known and has no effect");
    return unknown.length > 0;
  }
}
