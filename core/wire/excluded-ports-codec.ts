/**
 * Pure. Ports that a workload's owner keeps from automatic waypoints, as an extension of istio.workload.Workload: others skip it. Extensions of
 * other names are not ours to judge.
 */
import { ANNOTATION_EXCLUDE_PORTS } from "../model/waypoint.ts";
import { portFromWire } from "./network-codec.ts";
import { MAX_RESOURCE_BYTES, ProtoReader, readFields, WireError } from "./proto-reader.ts";
import type { ProtoWriter } from "./proto-writer.ts";

const EXTENSIONS = 26;
const NAME = ANNOTATION_EXCLUDE_PORTS;
const TYPE_URL = "type.googleapis.com/ambit.waypoint.v1.ExcludedPorts";

export function writeExcludedPorts(writer: ProtoWriter, ports: readonly number[]): void {
  if (ports.length === 0) return;
  const extension = writer.mark();
  const config = writer.mark();
  const value = writer.mark();
  writer.packedUints(1, ports);
  writer.message(2, value);
  writer.string(1, TYPE_URL);
  writer.message(2, config);
  writer.string(1, NAME);
  writer.message(EXTENSIONS, extension);
}

const NOTHING: Uint8Array = new Uint8Array(0);

/** Undefined for an extension of another name. */
export function readExcludedPorts(reader: ProtoReader): readonly number[] | undefined {
  const { name, config } = readFields(
    reader,
    { 1: (d, r) => (d.name = r.string()), 2: (d, r) => (d.config = r.bytes(MAX_RESOURCE_BYTES)) },
    { name: "", config: NOTHING },
  );
  if (name !== NAME) return undefined;
  const any = readFields(
    new ProtoReader(config),
    { 1: (d, r) => (d.typeUrl = r.string()), 2: (d, r) => (d.value = r.bytes(MAX_RESOURCE_BYTES)) },
    { typeUrl: "", value: NOTHING },
  );
  if (any.typeUrl !== TYPE_URL) throw new WireError("extensions", `${NAME} is of type ${any.typeUrl}`);
  const { ports } = readFields(
    new ProtoReader(any.value),
    { 1: (d, r) => r.uint32s(d.ports) },
    { ports: [] as number[] },
  );
  if (ports.includes(0)) throw new WireError("extensions", `${NAME} has port 0`);
  return [...new Set(ports.map((port) => portFromWire("extensions", port)))].toSorted((a, b) => a - b);
}
