/**
 * Pure. The node agent's `GET /skipped`: pods that labels ask into the mesh and that can never be in it.
 *
 *     {"pods": [{"namespace": "istio-system", "name": "tool-1", "reason": "system-namespace"}]}
 */
import { parsed, problem, type Parsed } from "#core/base/parse-result.ts";
import { jsonObject, type JsonObject } from "#core/k8s/json-read.ts";
import { field, objectsField, textField } from "./json-fields.ts";

export interface SkippedPod {
  readonly namespace: string;
  readonly name: string;
  readonly reason: string;
}

export function parseSkippedPods(text: string): Parsed<readonly SkippedPod[]> {
  let raw: JsonObject;
  try {
    raw = jsonObject(JSON.parse(text));
  } catch {
    return problem("", "is not JSON");
  }
  if (!Array.isArray(field(raw, "pods"))) return problem("pods", "is not a list");
  return parsed(
    objectsField(raw, "pods").map((pod) => ({
      namespace: textField(pod, "namespace"),
      name: textField(pod, "name"),
      reason: textField(pod, "reason"),
    })),
  );
}

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ["system-namespace", "pods of the mesh's own namespace are never captured"],
  ["excluded-namespace", "its namespace is excluded (EXCLUDE_NAMESPACES)"],
  ["host-network", "it uses its node's network"],
  ["mirror-pod", "it is a static pod of its node, which has no identity"],
  ["sidecar", "it has a sidecar of its own"],
  ["no-service-account", "it has no service account, so no identity"],
]);

export function skippedText({ namespace, name, reason }: SkippedPod): string {
  const meaning = MEANINGS.get(reason);
  const why = meaning === undefined ? reason : `${meaning} (${reason})`;
  return `${namespace}/${name} is labelled for the mesh and not in it: ${why}`;
}
