/**
 * The proof that a pod is captured: an unmarked connection from its namespace to an address that nobody has
 * (RFC 5737, RFC 3849) must be accepted, and its socket must carry the flag. ztunnel sees one connection to
 * 192.0.2.1:9 or 2001:db8::1:9 that is reset at once.
 */
import { closeSync, fstatSync } from "node:fs";
import { systemClock, type Clock } from "#core/base/clock.ts";
import { resetOnClose } from "#core/linux/socket-options.ts";
import { listTcpSockets } from "#core/linux/sock-diag.ts";
import { isErrno } from "#core/linux/system-call-error.ts";
import { remoteAddress, startConnect, tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { ip, type IpFamily } from "#core/net/ip.ts";
import type { CaptureTarget, SelfTestOutcome } from "./capture.ts";
import type { PodPins } from "./pins.ts";

const PROBE_ADDRESS = { 4: ip("192.0.2.1"), 6: ip("2001:db8::1") } as const;
const PROBE_PORT = 9;
const DEADLINE_MS = 2_000;
const STEP_MS = 5;

type ProbeResult = "captured" | "not-captured" | "no-route";

export async function selfTest(
  pins: PodPins,
  target: CaptureTarget,
  clock: Clock = systemClock,
): Promise<SelfTestOutcome> {
  const families: readonly IpFamily[] = [4, 6];
  const results = await Promise.all(
    families.map(async (family) => ({ family, result: await probe(pins, target, family, clock) })),
  );
  const failed = results.filter((r) => r.result === "not-captured").map((r) => r.family);
  if (failed.length > 0) {
    const message = `a probe connection over IPv${failed.join(" and IPv")} was not accepted by ztunnel`;
    return { kind: "not-captured", families: failed, message };
  }
  if (results.some((r) => r.result === "captured")) return { kind: "captured" };
  const message = "the pod has no default route, neither IPv4 nor IPv6: nothing can be probed";
  return { kind: "not-captured", families, message };
}

async function probe(
  pins: PodPins,
  target: CaptureTarget,
  family: IpFamily,
  clock: Clock,
): Promise<ProbeResult> {
  let fd: number | undefined;
  try {
    fd = tcpSocketFd({ netns: target.netns, family });
    startConnect(fd, { ip: PROBE_ADDRESS[family], port: PROBE_PORT });
    const end = clock.monotonicMs() + DEADLINE_MS;
    while (remoteAddress(fd) === undefined) {
      if (clock.monotonicMs() > end) return "not-captured";
      await clock.sleep(STEP_MS);
    }
    return isFlagged(pins, target, fd) ? "captured" : "not-captured";
  } catch (error) {
    if (isErrno(error, "ENETUNREACH", "EAFNOSUPPORT", "EADDRNOTAVAIL")) return "no-route";
    if (isErrno(error, "ECONNREFUSED", "EHOSTUNREACH", "EACCES")) return "not-captured";
    throw error;
  } finally {
    if (fd !== undefined) {
      resetOnClose(fd);
      closeSync(fd);
    }
  }
}

function isFlagged(pins: PodPins, target: CaptureTarget, fd: number): boolean {
  const inode = fstatSync(fd).ino;
  const entries = pins.withMap("captured", (storageMap) =>
    listTcpSockets({ netns: target.netns, storageMap }),
  );
  return entries.some((entry) => entry.inode === inode && entry.stored);
}
