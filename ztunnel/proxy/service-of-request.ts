/** Pure. Which service a tunnel's client meant, for labels only: believed only if the workload is part of that service. */
import { forwardedHost } from "#core/hbone/connect-request.ts";
import type { Service } from "#core/model/service.ts";
import type { Workload } from "#core/model/workload.ts";
import type { MeshView } from "#core/state/mesh-state.ts";

/** `forwarded` is the header as received (RFC 7239), undefined when absent. */
export function serviceOfRequest(
  view: MeshView,
  workload: Workload,
  forwarded: string | undefined,
): Service | undefined {
  const host = forwarded === undefined ? undefined : forwardedHost(forwarded);
  if (host === undefined) return undefined;
  for (const key of workload.services.keys()) {
    const service = view.services.get(key);
    if (service?.hostname === host) return service;
  }
  return undefined;
}
