/** Pure. istio.workload.Address: a workload or a service. */
import type { Parsed } from "../base/parse-result.ts";
import type { Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";

export type AddressResource =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: Service };

/** Deterministic: equal values give equal bytes. */
export function encodeAddress(_value: Workload | Service): Uint8Array {
  throw new Error("not built yet");
}

export function decodeAddress(_bytes: Uint8Array): Parsed<AddressResource> {
  throw new Error("not built yet");
}

/** Name under which the resource travels: workload uid or `namespace/hostname`. */
export function addressResourceName(value: Workload | Service): string {
  return "uid" in value ? value.uid : `${value.namespace}/${value.hostname}`;
}
