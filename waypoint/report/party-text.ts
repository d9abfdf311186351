/** The parts of a log line that name who and what: made once, since they are the same for many requests. */
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Workload } from "#core/model/workload.ts";
import { formatSocketAddress, type SocketAddress } from "#core/net/socket-address.ts";
import type { Endpoint } from "../upstream/endpoint.ts";

export interface LoggedCaller {
  readonly source: SocketAddress;
  readonly identity: SpiffeId | undefined;
  readonly workload: Workload | undefined;
  /** `:authority` of the CONNECT. */
  readonly dialled: string;
  readonly service: Service | undefined;
}

export function callerText({ source, identity, workload, dialled, service }: LoggedCaller): string {
  return textOf({
    downstream_local_address: dialled,
    downstream_remote_address: formatSocketAddress(source),
    "src.identity": identity,
    "src.workload": workload?.name,
    "src.namespace": workload?.namespace,
    "src.cluster": workload?.clusterId,
    "dst.service": service?.hostname,
  });
}

interface Known {
  readonly address: SocketAddress;
  readonly text: string;
}

const known = new WeakMap<Workload, Known>();

/** Empty, or beginning with a comma. */
export function endpointText(endpoint: Endpoint | undefined): string {
  if (endpoint === undefined) return "";
  const { workload, address, identity } = endpoint;
  const made = known.get(workload);
  if (made?.address.port === address.port && made.address.ip === address.ip) return made.text;
  const text = `,${textOf({
    upstream_host: formatSocketAddress(address),
    "dst.workload": workload.name,
    "dst.namespace": workload.namespace,
    "dst.cluster": workload.clusterId,
    "dst.identity": identity,
  })}`;
  known.set(workload, { address, text });
  return text;
}

/** What is absent or empty is left out. */
function textOf(fields: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== "");
  return JSON.stringify(Object.fromEntries(given)).slice(1, -1);
}
