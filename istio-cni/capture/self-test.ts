/**
 * The proof that a pod is captured: an unmarked connection from its namespace to an address that nobody has
 * (RFC 5737, RFC 3849) must be accepted, and counted as flagged and steered. ztunnel sees one connection to
 * 192.0.2.1:9 or 2001:db8::1:9 that is reset at once.
 */
import { closeSync } from "node:fs";
import { systemClock, type Clock } from "#core/base/clock.ts";
import { getSocketOption, resetOnClose } from "#core/linux/socket-options.ts";
import { errnoName, isErrno } from "#core/linux/system-call-error.ts";
import { remoteAddress, startConnect, tcpSocketFd } from "#core/linux/tcp-socket.ts";
import { CAPTURE_PROBE_ADDRESS, CAPTURE_PROBE_PORT } from "#core/model/capture-probe.ts";
import type { IpFamily } from "#core/net/ip.ts";
import type { CaptureTarget, SelfTestOutcome } from "./capture.ts";
import type { PodPins } from "./pins.ts";
import { readCounters } from "./pod-maps.ts";

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
  const before = readCounters(pins);
  let fd: number | undefined;
  try {
    fd = tcpSocketFd({ netns: target.netns, family });
    startConnect(fd, { ip: CAPTURE_PROBE_ADDRESS[family], port: CAPTURE_PROBE_PORT });
    if (!(await wasAccepted(fd, clock))) return "not-captured";
    const after = readCounters(pins);
    return after.flagged > before.flagged && after.outbound > before.outbound ? "captured" : "not-captured";
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

/** ztunnel may accept and reset at once, for nobody has this address: ECONNRESET comes only after an acceptance. */
async function wasAccepted(fd: number, clock: Clock): Promise<boolean> {
  const end = clock.monotonicMs() + DEADLINE_MS;
  while (clock.monotonicMs() < end) {
    if (remoteAddress(fd) !== undefined) return true;
    const failure = getSocketOption(fd, "SO_ERROR");
    if (failure !== 0) return errnoName(failure) === "ECONNRESET";
    await clock.sleep(STEP_MS);
  }
  return false;
}
