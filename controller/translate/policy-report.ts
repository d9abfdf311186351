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

  /** Names every field of `value` that nobody reads. */
  unknownFields(value: Readonly<Record<string, unknown>>, known: ReadonlySet<string>, path: string): void {
    for (const field of Object.keys(value)) {
      if (!known.has(field)) this.unsupported(`${path}.${field}`, "is not known and has no effect");
    }
  }
}
