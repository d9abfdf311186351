/** Pure. What the `baggage` header of CONNECT and of its 200 says about a workload: labels for the other side's metrics. */
import type { BaggageFields } from "#core/hbone/baggage.ts";
import type { Workload } from "#core/model/workload.ts";

export function workloadBaggage(workload: Workload): BaggageFields {
  return {
    clusterId: workload.clusterId,
    namespace: workload.namespace,
    workloadType: workload.workloadType,
    workloadName: workload.workloadName,
    serviceName: workload.canonicalName,
    serviceVersion: workload.canonicalRevision,
    region: workload.locality.region,
    zone: workload.locality.zone,
  };
}
