/** CRDs: conditions once they are served; a deleted one takes its objects with it before it goes. */
import type { V1CustomResourceDefinition } from "@kubernetes/client-node";
import { type ApiObject, digList, timestamp } from "../object.ts";
import { CRD_CLEANUP } from "../registry/strategies/small-kinds.ts";
import type { RestDeps } from "../rest/context.ts";
import { ControllerClient } from "./controller-client.ts";

const CRDS = "customresourcedefinitions.apiextensions.k8s.io";

const RECHECK_MS = 500;

export function startCrdController(deps: RestDeps): ControllerClient {
  const client = new ControllerClient(deps, "crd-controller");
  const queue = client.queue(async (name) => {
    const crd = client.get(CRDS, "", name);
    if (crd === undefined) return;
    if (crd.metadata.deletionTimestamp === undefined) await establish(client, crd);
    else if (!(await cleanUp(client, crd))) queue.add(name, RECHECK_MS);
  });
  client.watch(CRDS, (event) => queue.add(event.key));
  return client;
}

async function establish(client: ControllerClient, crd: ApiObject): Promise<void> {
  const { spec, status } = crd as unknown as V1CustomResourceDefinition;
  const storage = spec.versions.filter((version) => version.storage).map((version) => version.name);
  const storedVersions = [...new Set([...(status?.storedVersions ?? []), ...storage])];
  const lastTransitionTime = timestamp(client.deps.clock.nowMs());
  const conditions =
    digList(crd.status, "conditions").length > 0
      ? status?.conditions
      : [
          {
            type: "NamesAccepted",
            status: "True",
            reason: "NoConflicts",
            message: "no conflicts found",
            lastTransitionTime,
          },
          {
            type: "Established",
            status: "True",
            reason: "InitialNamesAccepted",
            message: "the initial names have been accepted",
            lastTransitionTime,
          },
        ];
  await client.setStatus(CRDS, crd, { acceptedNames: spec.names, storedVersions, conditions });
}

async function cleanUp(client: ControllerClient, crd: ApiObject): Promise<boolean> {
  let left = 0;
  for (const object of client.list(crd.metadata.name)) {
    if (object.metadata.deletionTimestamp !== undefined || !(await client.delete(crd.metadata.name, object)))
      left += 1;
  }
  if (left > 0) return false;
  await client.updateTrusted(CRDS, crd, (live) => ({
    ...live,
    metadata: {
      ...live.metadata,
      finalizers: (live.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CRD_CLEANUP),
    },
  }));
  return true;
}
