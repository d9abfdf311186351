/** Pure. Istio's labels of one side of a request. */
import type { BaggageFields } from "#core/hbone/baggage.ts";
import type { Service } from "#core/model/service.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";

/** What names a side; a `Workload` has all of it. */
export interface Party {
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly namespace: string;
  readonly clusterId: string;
}

export type Labels = Readonly<Record<string, string>>;

/** What a caller says of itself counts for labels only, and only where its certificate does not say otherwise. */
export function partyOfBaggage(fields: BaggageFields, namespace: string): Party | undefined {
  if (fields.namespace !== namespace) return undefined;
  const { workloadName = "", serviceName = "", serviceVersion = "", clusterId = "" } = fields;
  return {
    workloadName,
    canonicalName: serviceName,
    canonicalRevision: serviceVersion,
    namespace,
    clusterId,
  };
}

export function sideLabels(
  side: "source" | "destination",
  party: Party | undefined,
  identity: SpiffeId | undefined,
): Labels {
  return {
    [`${side}_workload`]: orUnknown(party?.workloadName),
    [`${side}_canonical_service`]: orUnknown(party?.canonicalName),
    [`${side}_canonical_revision`]: orUnknown(party?.canonicalRevision),
    [`${side}_workload_namespace`]: orUnknown(party?.namespace),
    [`${side}_principal`]: orUnknown(identity),
    [`${side}_app`]: orUnknown(party?.canonicalName),
    [`${side}_version`]: orUnknown(party?.canonicalRevision),
    [`${side}_cluster`]: orUnknown(party?.clusterId),
  };
}

export function serviceLabels(service: Service | undefined): Labels {
  return {
    destination_service: orUnknown(service?.hostname),
    destination_service_namespace: orUnknown(service?.namespace),
    destination_service_name: orUnknown(service?.name),
  };
}

function orUnknown(value: string | undefined): string {
  return value === undefined || value === "" ? "unknown" : value;
}
