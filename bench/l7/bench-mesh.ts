/** Pure. What the measured waypoint knows: one service with an HTTP/1.1 and an HTTP/2 port, its one pod, one policy with one header rule. */
import { aService, aWorkload } from "#core/testing/builders.ts";
import { type PolicyKey, serviceKey } from "#core/model/ids.ts";
import type { Service } from "#core/model/service.ts";
import type { WaypointConfig } from "#core/model/waypoint-config.ts";
import type { RequestPolicy } from "#core/model/request-policy.ts";
import type { Workload } from "#core/model/workload.ts";
import { ip } from "#core/net/ip.ts";
import { RULE_FIELD } from "./http-text.ts";

const NAMESPACE = "bench";
export const GATEWAY = "waypoint";
/** Of the upstream; an address of its own beside the proxy's. */
export const UPSTREAM_IP = "10.231.0.3";
export const SERVICE_VIP = "10.231.8.1";
export const HTTP1_PORT = 8_080;
export const HTTP2_PORT = 8_081;
const OTHER_WORKLOADS = 99;

export const SERVICE: Service = aService({
  name: "shop",
  namespace: NAMESPACE,
  vips: [{ network: "", ip: ip(SERVICE_VIP) }],
  ports: [
    { servicePort: HTTP1_PORT, targetPort: HTTP1_PORT, appProtocol: "http11" },
    { servicePort: HTTP2_PORT, targetPort: HTTP2_PORT, appProtocol: "http2" },
  ],
});
const SERVICE_KEY = serviceKey(SERVICE.namespace, SERVICE.hostname);

const SERVER: Workload = aWorkload({
  name: "server",
  namespace: NAMESPACE,
  addresses: [ip(UPSTREAM_IP)],
  serviceAccount: "server",
  services: new Map([
    [
      SERVICE_KEY,
      new Map([
        [HTTP1_PORT, HTTP1_PORT],
        [HTTP2_PORT, HTTP2_PORT],
      ]),
    ],
  ]),
});

export function benchWorkloads(clientIp: string): readonly Workload[] {
  const client = aWorkload({
    name: "client",
    namespace: NAMESPACE,
    addresses: [ip(clientIp)],
    serviceAccount: "client",
  });
  const others = Array.from({ length: OTHER_WORKLOADS }, (_, i) =>
    aWorkload({ name: `pod-${i}`, namespace: "shop", addresses: [ip(`10.232.0.${i + 1}`)] }),
  );
  return [SERVER, client, ...others];
}

const TENANT: RequestPolicy = {
  key: `${NAMESPACE}/tenant` as PolicyKey,
  action: "allow",
  dryRun: false,
  rules: [
    {
      from: [],
      to: [],
      when: [
        {
          kind: "header",
          name: RULE_FIELD.name,
          values: { any: [{ kind: "exact", value: RULE_FIELD.value }], none: [] },
        },
      ],
    },
  ],
};

export const CONFIG: WaypointConfig = {
  name: `${NAMESPACE}/${GATEWAY}`,
  automatic: false,
  pathNormalization: "base",
  clientCertField: false,
  services: [{ service: SERVICE_KEY, policies: [TENANT.key] }],
  workloads: [],
  policies: [TENANT],
};
