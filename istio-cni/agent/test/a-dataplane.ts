/** A real dataplane over fakes that agree to everything, for tests of those who call it. */
import { silentLogger } from "#core/runtime/log.ts";
import { MeshDataplane } from "../mesh-dataplane.ts";
import type { PodRef } from "../pod-ref.ts";
import { RefusalCounts } from "../refusals.ts";
import type { FakeCapture } from "./fake-capture.ts";

export function aDataplane(
  capture: FakeCapture,
  annotate: (pod: PodRef, captured: boolean) => void = () => undefined,
): MeshDataplane {
  return new MeshDataplane({
    capture,
    zds: {
      newest: () => undefined,
      add: () => Promise.resolve({ kind: "acked" }),
      broadcast: () => Promise.resolve(),
    },
    annotate: (pod, captured) => Promise.resolve(annotate(pod, captured)),
    onJoined: () => undefined,
    onDeviceEvent: () => undefined,
    drainMs: 0,
    holdMs: 0,
    refusals: new RefusalCounts(),
    log: silentLogger,
  });
}
