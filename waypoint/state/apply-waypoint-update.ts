/**
 * One response of the controller into what this waypoint knows. Its configuration is one value, switched as a whole, so that no
 * request ever sees policies of two generations; a bad one is refused and what was in force stays. In force when this returns.
 */
import type { SettableWatchValue } from "#core/base/watch-value.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { TYPE_URL_WAYPOINT } from "#core/model/waypoint.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import { TYPE_URL_ADDRESS } from "#core/model/well-known.ts";
import { applyUpdate } from "#core/state/apply-update.ts";
import type { MeshState } from "#core/state/mesh-state.ts";
import { decodeWaypointConfig } from "#core/wire/waypoint-codec.ts";
import type { XdsResource } from "#core/wire/xds-codec.ts";
import type { XdsUpdate } from "#core/xds/delta-client.ts";
import type { XdsRejection } from "#core/xds/delta-state.ts";

export interface WaypointState {
  /** Workloads and services; policies are not here but in `config`. */
  readonly mesh: MeshState;
  /** Undefined until the controller has said, and when it has taken the waypoint's configuration away: then nothing is bound. */
  readonly config: SettableWatchValue<WaypointConfig | undefined>;
}

/** `name`: `<namespace>/<gateway>`. A configuration of another name is somebody else's. */
export function applyWaypointUpdate(
  state: WaypointState,
  name: string,
  update: XdsUpdate,
): readonly XdsRejection[] {
  if (update.typeUrl === TYPE_URL_ADDRESS) return applyUpdate(state.mesh, update);
  if (update.typeUrl !== TYPE_URL_WAYPOINT) return []; // acknowledged and ignored, as for every unknown type
  const rejections = update.resources.flatMap((resource) => applyConfig(state, name, resource));
  if (update.removed.includes(name)) state.config.set(undefined);
  return rejections;
}

function applyConfig(state: WaypointState, name: string, resource: XdsResource): readonly XdsRejection[] {
  if (resource.name !== name) return [{ name: resource.name, reason: `this waypoint is ${name}` }];
  const decoded = decodeWaypointConfig(resource.body);
  if (!decoded.ok) return [{ name, reason: describeProblems(decoded.problems) }];
  if (decoded.value.name !== name) {
    return [{ name, reason: `the configuration inside is of ${decoded.value.name}` }];
  }
  state.config.set(decoded.value);
  return [];
}
