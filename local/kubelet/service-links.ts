/**
 * Pure. The variables by which containers find services, as the kubelet makes them: `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` and the older
 * `NAME_PORT_...`. A pod may refuse those of its namespace's services (`enableServiceLinks`), never those of the API.
 */
export interface LinkedService {
  readonly name: string;
  readonly clusterIp: string;
  readonly ports: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
}

export function serviceLinks(services: readonly LinkedService[]): Readonly<Record<string, string>> {
  return Object.assign({}, ...services.map(linksOf)) as Record<string, string>;
}

function linksOf({ name, clusterIp, ports }: LinkedService): Readonly<Record<string, string>> {
  const [first] = ports;
  if (first === undefined || clusterIp === "" || clusterIp === "None") return {};
  const prefix = variableName(name);
  const links: Record<string, string> = {
    [`${prefix}_SERVICE_HOST`]: clusterIp,
    [`${prefix}_SERVICE_PORT`]: String(first.port),
    [`${prefix}_PORT`]: urlOf(clusterIp, first),
  };
  for (const port of ports) {
    const { protocol = "TCP" } = port;
    if (port.name !== undefined && port.name !== "")
      links[`${prefix}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
    const older = `${prefix}_PORT_${port.port}_${protocol}`;
    links[older] = urlOf(clusterIp, port);
    links[`${older}_PROTO`] = protocol.toLowerCase();
    links[`${older}_PORT`] = String(port.port);
    links[`${older}_ADDR`] = clusterIp;
  }
  return links;
}

function urlOf(ip: string, { port, protocol = "TCP" }: LinkedService["ports"][number]): string {
  return `${protocol.toLowerCase()}://${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
}

function variableName(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}
