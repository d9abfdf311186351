/** An AuthorizationPolicy as an API server gives it. */
import type { CustomObject } from "#core/k8s/object-types.ts";

export function aPolicyObject(
  spec: unknown,
  { name = "p", annotations = {} }: { name?: string; annotations?: Readonly<Record<string, string>> } = {},
): CustomObject {
  return {
    metadata: {
      name,
      namespace: "shop",
      uid: "u",
      resourceVersion: "1",
      generation: 1,
      creationMs: 0,
      deletionMs: undefined,
      labels: {},
      annotations,
    },
    spec,
    conditions: [],
  } as never;
}
