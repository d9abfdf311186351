/**
 * How the kubelet's probes are told from everything else that has the node's address: a sockops program on the
 * kubelet's own cgroup records each connection it opens, and `steer` looks for exactly that connection.
 */
import { closeSync, existsSync, openSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import {
  ATTACH,
  createLink,
  createMap,
  linkInfo,
  lookupElement,
  openPinned,
  pinObject,
  updateLink,
} from "#core/linux/bpf.ts";
import { loadObject } from "#core/linux/bpf-loader.ts";
import { isCgroup2 } from "#core/linux/cgroup.ts";
import type { TcpSocketEntry } from "#core/linux/sock-diag.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { nodeDirectory, withPinned } from "./pins.ts";
import { encodeIpKey } from "./pod-maps.ts";
import { captureObject } from "./pod-programs.ts";

export const CAPTURE_KUBELET_CGROUP = "CAPTURE_KUBELET_CGROUP";

/** The node's map of probe connections, shared by all its pods; the caller closes it. */
export function openProbeMap(bpffsDir: string): number {
  const path = join(nodeDirectory(bpffsDir), "probes");
  if (existsSync(path)) return openPinned(path);
  const definition = captureObject().maps.find((m) => m.name === "probes");
  if (definition === undefined) throw new AmbitError("CAPTURE_OBJECT_INVALID", "no map of probes");
  const fd = createMap(definition);
  pinObject(fd, path);
  return fd;
}

/** Whether the kubelet opened this connection to the pod. */
export function isProbe(
  probes: number,
  { local, remote }: Pick<TcpSocketEntry, "local" | "remote">,
): boolean {
  const ports = Buffer.alloc(4);
  ports.writeUInt16LE(remote.port, 0);
  ports.writeUInt16LE(local.port, 2);
  const tuple = Buffer.concat([encodeIpKey(remote.ip), encodeIpKey(local.ip), ports]); // struct tuple
  return lookupElement(probes, tuple, 8) !== undefined;
}

/** Attaches to the kubelet's cgroup; a link to a cgroup that is gone is replaced, a live one gets the new program. */
export function attachToKubelet(bpffsDir: string, cgroup: string, probes: number): void {
  if (!existsSync(cgroup) || !isCgroup2(cgroup))
    throw new AmbitError(
      CAPTURE_KUBELET_CGROUP,
      `${cgroup} is not a cgroup v2 directory: kubelet's probes cannot be recognised`,
    );
  const path = join(nodeDirectory(bpffsDir), "link_kubelet");
  const loaded = loadObject(captureObject(), { maps: new Map([["probes", probes]]), programs: ["kubelet"] });
  try {
    const program = loaded.programs.get("kubelet") ?? -1;
    if (existsSync(path) && withPinned(path, (link) => linkInfo(link).target) === cgroupId(cgroup)) {
      withPinned(path, (link) => updateLink(link, program));
      return;
    }
    if (existsSync(path)) unlinkSync(path);
    pinNewLink(program, cgroup, path);
  } finally {
    loaded.close();
  }
}

function pinNewLink(program: number, cgroup: string, path: string): void {
  const target = openSync(cgroup, "r");
  try {
    const link = createLink(program, target, ATTACH.cgroupSockOps);
    pinObject(link, path);
    closeSync(link);
  } finally {
    closeSync(target);
  }
}

/** Low 32 bits, as `linkInfo` gives them; 0 there means that the cgroup is gone. */
function cgroupId(cgroup: string): number {
  return Number(statSync(cgroup, { bigint: true }).ino & 0xffff_ffffn);
}
