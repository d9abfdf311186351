/** An application on a port that counts as TCP, of a pod for which a policy denies HTTP by conditions on requests alone: what begins like HTTP does not reach it. */
import type { Handle } from "#core/handle/handle.ts";
import { HttpRefusingHandle } from "#core/handle/http-refusing-handle.ts";
import type { PolicyKey } from "#core/model/ids.ts";
import { httpDenierOf } from "#core/model/waypoint.ts";
import type { Workload } from "#core/model/workload.ts";
import { isDeclaredTcp } from "#core/state/declared-ports.ts";
import type { ActiveConnection } from "./active-connection.ts";
import type { PodContext } from "./proxy-deps.ts";

/** What has begun and may still become HTTP waits so long for its rest. */
const FIRST_BYTES_MS = 10_000;

/** The application as callers may write to it; `upstream` itself where nothing is to be looked at. */
export function refusingHttp(
  { deps }: PodContext,
  active: Pick<ActiveConnection, "abort">,
  upstream: Handle,
  { workload, port }: { readonly workload: Workload; readonly port: number },
): Handle {
  // As it is now: a policy may have come while the application was dialled.
  const current = deps.state.workloads.get(workload.uid) ?? workload;
  const denier = denierOf(current);
  if (denier === undefined || !isDeclaredTcp(deps.state, current, port)) return upstream;
  return new HttpRefusingHandle(upstream, {
    clock: deps.clock,
    firstBytesMs: FIRST_BYTES_MS,
    onHttp: () =>
      active.abort(
        "http-on-tcp-port",
        `policy ${denier} denies HTTP requests, and port ${port} counts as TCP`,
      ),
  });
}

/** Names have the workload's namespace in front. */
function denierOf({ authorizationPolicies }: Workload): PolicyKey | undefined {
  for (const key of authorizationPolicies) {
    const denier = httpDenierOf(key.slice(key.indexOf("/") + 1));
    if (denier !== undefined) return denier;
  }
  return undefined;
}
