/** Pure. What the `baggage` header of CONNECT and of its 200 says about a workload: labels for the other side's metrics. */
import { type BaggageFields, formatBaggage } from "#core/hbone/baggage.ts";
import type { Workload } from "#core/model/workload.ts";

const known = new WeakMap<Workload, string>();

/** HOT PATH: once per connection; the text of a workload record never changes. */
export function workloadBaggage(workload: Workload): string {
  let text = known.get(workload);
  if (text === undefined) {
    text = formatBaggage(baggageFields(workload));
    known.set(workload, text);
  }
  return text;
}

function baggageFields(workload: Workload): BaggageFields {
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
