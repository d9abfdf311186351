/** Pure. ambit.waypoint.v1.WaypointConfig. Deterministic: equal values give equal bytes; every list keeps its order. */
import type { Parsed } from "../base/parse-result.ts";
import type { PolicyKey, ServiceKey, WorkloadUid } from "../model/ids.ts";
import type { RequestPolicy } from "../model/request-policy.ts";
import type {
  BoundService,
  BoundWorkload,
  PathNormalization,
  WaypointConfig,
} from "../model/waypoint-config.ts";
import { append, parseMessage, type ProtoReader, readFields, WireError } from "./proto-reader.ts";
import { ProtoWriter } from "./proto-writer.ts";
import { writeEach } from "./match-codec.ts";
import { readRequestPolicy, writeRequestPolicy } from "./request-policy-codec.ts";
import { wireEnum } from "./wire-enum.ts";

/** All policies and bindings of one waypoint: 16,384 bound workloads with a few policies each fit in. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;
/** Absent is Istio's default. */
const NORMALIZATION = wireEnum<PathNormalization>("path_normalization", [
  "base",
  "merge-slashes",
  "decode-and-merge-slashes",
  "none",
]);

const scratch = new ProtoWriter(64 * 1024);

export function encodeWaypointConfig(config: WaypointConfig): Uint8Array {
  scratch.reset();
  scratch.bool(7, config.clientCertField);
  writeEach(scratch, 6, config.policies, writeRequestPolicy);
  writeEach(scratch, 5, config.workloads, (writer, { workload, policies }) =>
    writeBound(writer, workload, policies),
  );
  writeEach(scratch, 4, config.services, (writer, { service, policies }) =>
    writeBound(writer, service, policies),
  );
  scratch.uint(3, NORMALIZATION.encode(config.pathNormalization));
  scratch.bool(2, config.automatic);
  scratch.string(1, config.name);
  return scratch.finish();
}

function writeBound(writer: ProtoWriter, name: string, policies: readonly PolicyKey[]): void {
  writer.strings(2, policies);
  writer.string(1, name);
}

export function decodeWaypointConfig(bytes: Uint8Array): Parsed<WaypointConfig> {
  return parseMessage(bytes, MAX_CONFIG_BYTES, readConfig);
}

function readConfig(reader: ProtoReader): WaypointConfig {
  const draft = {
    name: "",
    automatic: false,
    pathNormalization: "base" as PathNormalization,
    clientCertField: false,
    services: [] as BoundService[],
    workloads: [] as BoundWorkload[],
    policies: [] as RequestPolicy[],
  };
  readFields(
    reader,
    {
      1: (d, r) => (d.name = r.string()),
      2: (d, r) => (d.automatic = r.bool()),
      3: (d, r) => (d.pathNormalization = NORMALIZATION.decode(r.uint32())),
      4: (d, r) => append(d.services, readService(r.message())),
      5: (d, r) => append(d.workloads, readWorkload(r.message())),
      6: (d, r) => append(d.policies, readRequestPolicy(r.message())),
      7: (d, r) => (d.clientCertField = r.bool()),
    },
    draft,
  );
  if (draft.name === "") throw new WireError("name", "is empty");
  onlyOnce(
    "policies",
    draft.policies.map(({ key }) => key),
  );
  onlyOnce(
    "services",
    draft.services.map(({ service }) => service),
  );
  onlyOnce(
    "workloads",
    draft.workloads.map(({ workload }) => workload),
  );
  return draft;
}

/** Of two values for one name, nobody could say which is meant. */
function onlyOnce(path: string, names: readonly string[]): void {
  if (new Set(names).size !== names.length) throw new WireError(path, "has a name twice");
}

function readService(reader: ProtoReader): BoundService {
  const { name, policies } = readBound("services", reader);
  return { service: name as ServiceKey, policies };
}

function readWorkload(reader: ProtoReader): BoundWorkload {
  const { name, policies } = readBound("workloads", reader);
  return { workload: name as WorkloadUid, policies };
}

function readBound(
  path: string,
  reader: ProtoReader,
): { readonly name: string; readonly policies: readonly PolicyKey[] } {
  const draft = { name: "", policies: [] as PolicyKey[] };
  readFields(
    reader,
    { 1: (d, r) => (d.name = r.string()), 2: (d, r) => append(d.policies, r.string() as PolicyKey) },
    draft,
  );
  if (draft.name === "") throw new WireError(path, "has an entry without a name");
  return draft;
}
