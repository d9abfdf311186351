/** Pure. istio.workload.Address: a workload or a service. */
import type { Parsed } from "../base/parse-result.ts";
import type { Service } from "../model/service.ts";
import type { Workload } from "../model/workload.ts";
import { MAX_RESOURCE_BYTES, parseMessage, type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { readService, writeService } from "./service-codec.ts";
import { readWorkload, writeWorkload } from "./workload-codec.ts";

export type AddressResource =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: Service };

const scratch = new ProtoWriter(64 * 1024);

/** Deterministic: equal values give equal bytes. */
export function encodeAddress(value: Workload | Service): Uint8Array {
  scratch.reset();
  const mark = scratch.mark();
  if ("uid" in value) writeWorkload(scratch, value);
  else writeService(scratch, value);
  scratch.message("uid" in value ? 1 : 2, mark);
  return scratch.finish();
}

/** The problem's path is the field that makes the whole resource unusable. */
export function decodeAddress(bytes: Uint8Array): Parsed<AddressResource> {
  return parseMessage(bytes, MAX_RESOURCE_BYTES, readAddress);
}

function readAddress(reader: ProtoReader): AddressResource {
  const draft = { resource: undefined as AddressResource | undefined };
  readFields(
    reader,
    {
      1: (d, r) => (d.resource = { kind: "workload", workload: readWorkload(r.message()) }),
      2: (d, r) => (d.resource = { kind: "service", service: readService(r.message()) }),
    },
    draft,
  );
  if (draft.resource === undefined) throw new WireError("type", "is neither a workload nor a service");
  return draft.resource;
}

/** Name under which the resource travels: workload uid or `namespace/hostname`. */
export function addressResourceName(value: Workload | Service): string {
  return "uid" in value ? value.uid : `${value.namespace}/${value.hostname}`;
}
