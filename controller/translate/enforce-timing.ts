/** Pure. Whether callers are let through or held while a waypoint is on its way: `ambit.io/enforce`, on a policy or, for all of them, on a namespace. */
import { ANNOTATION_ENFORCE } from "#core/model/waypoint.ts";

export interface EnforceTiming {
  readonly immediately: boolean;
  /** Why the annotation has no effect; begins with its path. */
  readonly problem: { readonly path: string; readonly message: string } | undefined;
}

const IMMEDIATELY = "immediately";

export function enforceTiming(annotations: Readonly<Record<string, string>>): EnforceTiming {
  const value = annotations[ANNOTATION_ENFORCE];
  if (value === undefined || value === IMMEDIATELY)
    return { immediately: value !== undefined, problem: undefined };
  const path = `metadata.annotations ${ANNOTATION_ENFORCE}`;
  const message = `${JSON.stringify(value.slice(0, 64))} is not known (known is "${IMMEDIATELY}"): callers are let through until a waypoint judges them`;
  return { immediately: false, problem: { path, message } };
}
