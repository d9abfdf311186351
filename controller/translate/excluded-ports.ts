/**
 * Pure. Ports that are kept from the automatic waypoint by annotation: of a pod, else of its namespace. A value that cannot be read excludes
 * nothing, and hides no other: whoever wrote it on the pod did not mean the namespace's.
 */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import type { NamespaceObject, PodObject } from "#core/k8s/object-types.ts";
import { ANNOTATION_EXCLUDE_PORTS } from "#core/model/waypoint.ts";

export interface ExcludedPorts {
  /** The pods' own, ascending. */
  readonly ports: readonly number[];
  /** Whose annotation says so. */
  readonly by: "pod" | "namespace";
  /** Of the annotation, as seen from the pod. */
  readonly path: string;
  /** Why nothing is excluded though something was written; a sentence without a full stop. */
  readonly problem: string | undefined;
}

const NONE_EXCLUDED: ExcludedPorts = { ports: [], by: "pod", path: "", problem: undefined };

const MAX_PORTS = 64;
const PORT = /^[1-9][0-9]{0,4}$/;

/** `isAutomatic`: the automatic waypoint is what the pod would be bound to; ports are kept from no other. */
export function excludedPorts(
  pod: PodObject,
  namespace: NamespaceObject | undefined,
  { isAutomatic }: { readonly isAutomatic: boolean },
): ExcludedPorts {
  const { annotations } = pod.metadata;
  const path = `metadata.annotations ${ANNOTATION_EXCLUDE_PORTS}`;
  const onPod = annotations[ANNOTATION_EXCLUDE_PORTS];
  const onNamespace = namespace?.metadata.annotations[ANNOTATION_EXCLUDE_PORTS];
  const text = onPod ?? onNamespace;
  if (text === undefined || (!isAutomatic && onPod === undefined)) return NONE_EXCLUDED;
  const place =
    onPod === undefined
      ? { by: "namespace" as const, path: `its namespace's ${path}` }
      : { by: "pod" as const, path };
  const ports = isAutomatic ? parseExcludedPorts(text) : problem("", "no automatic waypoint is meant for it");
  return ports.ok
    ? { ...place, ports: ports.value, problem: undefined }
    : { ...place, ports: [], problem: ports.problems[0]?.message ?? "cannot be read" };
}

/** Numbers with commas between them; empty for none. All of it, or nothing. */
export function parseExcludedPorts(text: string): Parsed<readonly number[]> {
  if (text.trim() === "") return parsed([]);
  const entries = text.split(",", MAX_PORTS + 1).map((entry) => entry.trim());
  if (entries.length > MAX_PORTS) return problem("", `lists more than ${MAX_PORTS} ports`);
  const wrong = entries.find((entry) => !PORT.test(entry) || Number(entry) > 65_535);
  if (wrong !== undefined)
    return problem("", `has ${JSON.stringify(wrong.slice(0, 40))} where a port from 1 to 65535 belongs`);
  return parsed([...new Set(entries.map(Number))].toSorted((a, b) => a - b));
}
