/**
 * One response of the controller into the mesh state: decode everything, then commit what is good in one synchronous
 * batch. A bad resource rejects only itself; what it replaced stays in force.
 */
import { describeProblems, type Parsed, parsed, problem } from "../base/parse-result.ts";
import { TYPE_URL_ADDRESS, TYPE_URL_AUTHORIZATION } from "../model/well-known.ts";
import { decodeAddress } from "../wire/address-codec.ts";
import { decodeAuthorization } from "../wire/authorization-codec.ts";
import type { XdsResource } from "../wire/xds-codec.ts";
import type { XdsUpdate } from "../xds/delta-client.ts";
import type { XdsRejection } from "../xds/delta-state.ts";
import type { MeshResource, MeshState, Removal } from "./mesh-state.ts";

/** Resources that are not among the results are in force, open connections already judged again, when this returns. */
export function applyUpdate(state: MeshState, update: XdsUpdate): readonly XdsRejection[] {
  const type = removalType(update.typeUrl);
  if (type === undefined) return []; // acknowledged and ignored, as Istio's ztunnel does
  const upserts: MeshResource[] = [];
  const rejections: XdsRejection[] = [];
  for (const resource of update.resources) {
    const decoded = decodeResource(type, resource);
    if (decoded.ok) upserts.push(decoded.value);
    else rejections.push({ name: resource.name, reason: describeProblems(decoded.problems) });
  }
  state.commit({ upserts, removals: update.removed.map((name) => ({ type, name })) });
  return rejections;
}

function removalType(typeUrl: string): Removal["type"] | undefined {
  if (typeUrl === TYPE_URL_ADDRESS) return "address";
  return typeUrl === TYPE_URL_AUTHORIZATION ? "authorization" : undefined;
}

function decodeResource(type: Removal["type"], resource: XdsResource): Parsed<MeshResource> {
  if (resource.typeUrl === "") return problem("", "the resource has no body");
  if (type === "address") return decodeAddress(resource.body);
  const policy = decodeAuthorization(resource.body);
  return policy.ok ? parsed({ kind: "authorization", policy: policy.value }) : policy;
}
