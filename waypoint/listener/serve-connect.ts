/** Step W2: one CONNECT. What is not bound to this waypoint is refused before a byte of it is read. */
import type { HboneRequest } from "#core/hbone/hbone-request.ts";
import { formatTarget } from "#core/hbone/connect-request.ts";
import { type Reason, reasonFacts } from "../http/reasons.ts";
import type { ProxyContext } from "../proxy-context.ts";
import { Caller } from "./caller.ts";
import { serveStream } from "./detect.ts";
import { chooseTargetRoute } from "./target-route.ts";
import { recordTunnel } from "./tunnel-record.ts";

export function serveConnect(context: ProxyContext, request: HboneRequest): void {
  const { deps } = context;
  const { network, identity } = deps.options;
  const snapshot = context.snapshot();
  if (snapshot === undefined) return refuse(context, request, "no-configuration");
  if (!context.connections.hasRoom(request.peerIdentity))
    return refuse(context, request, "too-many-connections");
  const route = chooseTargetRoute(deps.mesh, snapshot, {
    target: request.authority,
    network,
    localIp: request.local.ip,
    ownIdentity: identity,
  });
  if (route.kind === "refused") return refuse(context, request, route.reason);
  const caller = new Caller(context, request, route);
  serveStream(caller, request.accept());
  return undefined;
}

function refuse(context: ProxyContext, request: HboneRequest, reason: Reason): void {
  const { source, peerIdentity, authority } = request;
  context.metrics.connectRefused(reason);
  recordTunnel(context, source, { reason, identity: peerIdentity, dialled: formatTarget(authority) });
  const { status } = reasonFacts(reason);
  request.refuse(status === 404 || status === 400 ? status : 503);
}
