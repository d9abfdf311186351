/**
 * Pure. The `baggage` header: who the source (or, in an answer, the destination) says it is. Labels of metrics and
 * logs only, never a reason for a decision. Written without percent-encoding, as Istio does.
 */

export interface BaggageFields {
  readonly clusterId?: string | undefined;
  readonly namespace?: string | undefined;
  /** Lower-case: deployment, cronjob, pod or job. */
  readonly workloadType?: string | undefined;
  readonly workloadName?: string | undefined;
  readonly serviceName?: string | undefined;
  readonly serviceVersion?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

const WORKLOAD_KEY = /^k8s\.(deployment|cronjob|pod|job)\.name$/;
const KEYS: Readonly<Record<string, keyof BaggageFields>> = {
  "k8s.cluster.name": "clusterId",
  "k8s.namespace.name": "namespace",
  "service.name": "serviceName",
  "service.version": "serviceVersion",
  "cloud.region": "region",
  "cloud.availability_zone": "zone",
};
const MAX_BYTES = 8_192;

/** Absent and empty fields, and values that would break the format, are left out. */
export function formatBaggage(fields: BaggageFields): string {
  const pairs: readonly (readonly [string, string | undefined])[] = [
    ["k8s.cluster.name", fields.clusterId],
    ["k8s.namespace.name", fields.namespace],
    [`k8s.${fields.workloadType ?? "pod"}.name`, fields.workloadName],
    ["service.name", fields.serviceName],
    ["service.version", fields.serviceVersion],
    ["cloud.region", fields.region],
    ["cloud.availability_zone", fields.zone],
  ];
  return pairs
    .filter(([, value]) => value !== undefined && /^[\x21-\x2b\x2d-\x7e]+$/.test(value))
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** Lenient: unknown keys, empty values and everything beyond 8 KiB are ignored; of doubles the last one counts. */
export function parseBaggage(header: string | undefined): BaggageFields {
  const fields: { -readonly [K in keyof BaggageFields]: BaggageFields[K] } = {};
  if (header === undefined || header.length > MAX_BYTES || !/^[\x20-\x7e]*$/.test(header)) return fields;
  for (const pair of header.split(",")) {
    const [key = "", value = ""] = pair.split("=");
    if (value === "") continue;
    const workload = WORKLOAD_KEY.exec(key);
    if (workload?.[1] !== undefined) {
      fields.workloadType = workload[1];
      fields.workloadName = value;
      continue;
    }
    const name = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (name !== undefined) fields[name] = value;
  }
  return fields;
}
