/** Loads the kernel objects of a pod and pins them; or takes up what is pinned. */
import { closeSync } from "node:fs";
import { type BpfObject, parseBpfObject } from "#core/linux/bpf-object.ts";
import { type LoadedObject, loadObject } from "#core/linux/bpf-loader.ts";
import { openPinned } from "#core/linux/bpf.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { join } from "node:path";
import { BPF_SOURCE_HASH, CAPTURE_OBJECT_BASE64 } from "../bpf/objects.gen.ts";
import { POD_MAPS, POD_PROGRAMS } from "./kernel-names.ts";
import type { PodPins } from "./pins.ts";

/** Tells the programs of this agent from those of another version. */
export const CAPTURE_BUILD: string = BPF_SOURCE_HASH.slice(0, 16);

let object: BpfObject | undefined;

/** The committed object; parsed once. */
export function captureObject(): BpfObject {
  if (object !== undefined) return object;
  const result = parseBpfObject(Buffer.from(CAPTURE_OBJECT_BASE64, "base64"));
  if (!result.ok) throw new AmbitError("CAPTURE_OBJECT_INVALID", describeProblems(result.problems));
  return (object = result.value);
}

/** Maps and programs in place and pinned; nothing attached. `probes` is the node's map. */
export function ensureLoaded(pins: PodPins, probes: number): void {
  if (pins.isLoaded()) return;
  pins.remove(); // interrupted before anything was attached
  const loaded = loadObject(captureObject(), { maps: new Map([["probes", probes]]), programs: POD_PROGRAMS });
  try {
    pins.create();
    for (const name of POD_MAPS) pins.pinMap(name, loaded.maps.get(name) ?? -1);
    for (const name of POD_PROGRAMS) pins.pinProgram(name, loaded.programs.get(name) ?? -1);
    pins.setBuild(CAPTURE_BUILD);
  } finally {
    loaded.close();
  }
}

/**
 * Fresh programs on the pod's pinned maps: a new map `captured` would forget every captured socket, and what is
 * forgotten leaves in clear.
 */
export function loadBesidePinned(pins: PodPins, probes: number): LoadedObject {
  const fds = POD_MAPS.map((name) => [name, openPinned(join(pins.directory, name))] as const);
  try {
    const maps = new Map<string, number>([...fds, ["probes", probes]]);
    return loadObject(captureObject(), { maps, programs: POD_PROGRAMS });
  } finally {
    for (const [, fd] of fds) closeSync(fd);
  }
}
