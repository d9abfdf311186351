/** Pure. What the status of a waypoint's Gateway says. */
import { attachedOf } from "../waypoints/takeover/attachment.ts";
import { pushesOf } from "../waypoints/binding/binding.ts";
import { noPodText } from "../waypoints/status/enforcement-text.ts";
import type { GatewayView } from "../waypoints/status/waypoint-view.ts";
import type { WaypointGateway } from "../waypoints/gateway/waypoint-gateway.ts";
import { ANNOTATION_BINDING } from "#core/model/waypoint.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import type { Condition } from "./conditions.ts";
import { listed } from "./listed.ts";

const MAX_REASONS = 5;

export function gatewayConditions(gateway: WaypointGateway, view: GatewayView): readonly Condition[] {
  const observedGeneration = gateway.generation;
  const programmed = programmedVerdict(gateway, view);
  return [
    {
      type: "Accepted",
      status: "True",
      reason: "Accepted",
      message: [acceptedMessage(gateway, gateway.lost ?? view.restored), ...withoutEffect(gateway)].join(
        "; ",
      ),
      observedGeneration,
    },
    { type: "Programmed", ...programmed, observedGeneration },
    {
      type: "ResolvedRefs",
      status: "True",
      reason: "ResolvedRefs",
      message: "it refers to nothing that is missing",
      observedGeneration,
    },
  ];
}

export function gatewayAddresses({ addresses }: GatewayView): readonly object[] {
  return addresses.map((value) => ({ type: "IPAddress", value }));
}

/** An automatic waypoint says which policies, by which fields, are the reason for it. */
function acceptedMessage(gateway: WaypointGateway, lost: string | undefined): string {
  const anew = `its record (annotation ${ANNOTATION_BINDING}) ${lost ?? ""}, and is made anew: meanwhile nobody passes it by`;
  return lost === undefined ? reasonsOf(gateway) : `${reasonsOf(gateway)}; ${anew}`;
}

function reasonsOf(gateway: WaypointGateway): string {
  const { automatic, record } = gateway;
  if (!automatic) return ["accepted as a waypoint", ...servedBy(gateway)].join("; ");
  const reasons = record.bindings.map(({ policy, field }) => `AuthorizationPolicy ${policy} (${field})`);
  const more = reasons.length > MAX_REASONS ? ` and ${reasons.length - MAX_REASONS} more` : "";
  return reasons.length === 0
    ? "nothing needs it any more"
    : `needed for ${reasons.slice(0, MAX_REASONS).join(", ")}${more}`;
}

/** While it is listed here callers are sent to it, whatever labels say. */
function servedBy(gateway: WaypointGateway): readonly string[] {
  const carriers = attachedOf(gateway).filter(({ stage }) => pushesOf(stage).binds);
  return carriers.length === 0 ? [] : [`in force for ${listed(carriers.map(({ carrier }) => carrier))}`];
}

/** A lost record is told by itself. */
function withoutEffect({ problems }: WaypointGateway): readonly string[] {
  return problems
    .filter(({ path }) => !path.endsWith(ANNOTATION_BINDING))
    .map(({ path, message }) => `${path} ${message}`);
}

function programmedVerdict(
  gateway: WaypointGateway,
  view: GatewayView,
): Pick<Condition, "status" | "reason" | "message"> {
  if (view.obstacle !== undefined) return { status: "False", reason: "Invalid", message: view.obstacle };
  if (view.addresses.length === 0)
    return {
      status: "False",
      reason: "AddressNotAssigned",
      message: "its Service has no cluster address yet",
    };
  if (view.readyPods === 0) return { status: "False", reason: "Pending", message: noPodText(gateway.key) };
  const address = view.addresses[0] ?? "";
  const at = address.includes(":") ? `[${address}]` : address;
  return { status: "True", reason: "Programmed", message: `reached at ${at}:${HBONE_PORT}` };
}
