/** What this kernel can do, found by doing it in a network namespace that nobody else sees. */
import { closeSync } from "node:fs";
import { ATTACH, createLink, createTcxLink, testRunTc } from "#core/linux/bpf.ts";
import { loadObject } from "#core/linux/bpf-loader.ts";
import { NETLINK_ROUTE, withNetlink } from "#core/linux/netlink.ts";
import { createAnonymousNetns, inNetns, type Netns } from "#core/linux/netns.ts";
import { addClsact, setBpfFilter } from "#core/linux/tc-netlink.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Attachment } from "./capture.ts";
import { captureObject } from "./pod-programs.ts";

export type KernelProbe =
  | {
      readonly kind: "usable";
      readonly attachments: readonly Attachment[];
      readonly notes: readonly string[];
    }
  | { readonly kind: "unusable"; readonly message: string };

const LOOPBACK = 1;

export function probeKernel(): KernelProbe {
  let netns: Netns | undefined;
  const fds: number[] = [];
  try {
    netns = createAnonymousNetns();
    const loaded = loadObject(captureObject());
    fds.push(...loaded.programs.values(), ...loaded.maps.values());
    const program = (name: string): number => loaded.programs.get(name) ?? -1;
    const scratch = netns;
    fds.push(createLink(program("steer"), scratch.fd, ATTACH.skLookup));
    inNetns(scratch, () => testRunTc(program("adopt"), [1, 0, 40_000, 0, 2]));
    const attempts = [
      attempt("tcx", () => {
        const link = inNetns(scratch, () => createTcxLink(program("loopback"), LOOPBACK, "ingress"));
        closeSync(link);
      }),
      attempt("clsact", () =>
        withNetlink(NETLINK_ROUTE, scratch, (socket) => {
          addClsact(socket, LOOPBACK);
          const filter = { ifindex: LOOPBACK, direction: "ingress", preference: 1, handle: 1 } as const;
          setBpfFilter(socket, filter, program("loopback"), "probe");
        }),
      ),
    ];
    const attachments = attempts.flatMap((a) => (a.error === undefined ? a.attachment : []));
    const notes = attempts.flatMap((a) => (a.error === undefined ? [] : `${a.attachment}: ${a.error}`));
    if (attachments.length > 0) return { kind: "usable", attachments, notes };
    return { kind: "unusable", message: `no way to attach to devices (${notes.join("; ")})` };
  } catch (error) {
    return { kind: "unusable", message: describeError(error) };
  } finally {
    for (const fd of fds) closeSync(fd);
    netns?.close();
  }
}

interface Attempt {
  readonly attachment: Attachment;
  readonly error: string | undefined;
}

function attempt(attachment: Attachment, work: () => void): Attempt {
  try {
    work();
    return { attachment, error: undefined };
  } catch (error) {
    return { attachment, error: describeError(error) };
  }
}
