/** Whether pods of the shop carry the mark that the node agent sets on captured pods. */
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { ANNOTATION_REDIRECTION } from "#core/model/well-known.ts";
import type { Tour } from "./tour.ts";

/** True once every pod of these labels is captured (or is not, as `wanted` says); undefined until then. */
export async function annotated(
  tour: Tour,
  labels: readonly string[],
  wanted: boolean,
): Promise<true | undefined> {
  for (const labelSelector of labels) {
    const path = kindPath(POD, { namespace: "shop" });
    const list = jsonObject(await tour.parts.client.json({ method: "GET", path, query: { labelSelector } }));
    const pods = jsonList(list["items"]).map((item) =>
      jsonObject(jsonObject(jsonObject(item)["metadata"])["annotations"]),
    );
    const right = pods.every((annotations) => (annotations[ANNOTATION_REDIRECTION] === "enabled") === wanted);
    if (pods.length === 0 || !right) return undefined;
  }
  return true;
}
