/** A capture that remembers what it was asked, in order. Stands in for the kernel where only orders matter. */
import type {
  AdoptOutcome,
  EnrolledPod,
  EnrolOutcome,
  HeldListeners,
  NodeCapture,
  PodCaptureState,
  PreEnrolmentConnection,
  UnEnrolOutcome,
  VerifyOutcome,
} from "../../capture/capture.ts";

export interface FakeCapture extends NodeCapture {
  readonly calls: string[];
  enrolOutcome: EnrolOutcome;
  readonly unEnrolOutcomes: UnEnrolOutcome[];
  adoptFresh: AdoptOutcome;
  verifyOutcome: VerifyOutcome;
  enrolled: readonly EnrolledPod[];
  oldPrograms: boolean;
  state: PodCaptureState | undefined;
  older: readonly PreEnrolmentConnection[];
}

/** `calls` may be shared with other fakes, so that one list shows the whole order. */
export function fakeCapture(calls: string[] = []): FakeCapture {
  const held = (): HeldListeners => ({
    count: 3,
    release: () => void calls.push("held.release"),
    releaseAfter: (ms) => void calls.push(`held.releaseAfter ${ms}`),
    keep: () => void calls.push("held.keep"),
  });
  const unused = (): never => {
    throw new Error("not expected here");
  };
  const fake: FakeCapture = {
    calls,
    attachment: "tcx",
    probeExemption: "none",
    enrolOutcome: { kind: "enrolled", attachment: "tcx", preEnrolmentConnections: 0 },
    unEnrolOutcomes: [],
    adoptFresh: { kind: "adopted" },
    verifyOutcome: { kind: "intact" },
    enrolled: [],
    oldPrograms: false,
    state: undefined,
    older: [],
    enrolPod: () => {
      calls.push("capture.enrol");
      return Promise.resolve(fake.enrolOutcome);
    },
    unEnrolPod: async (_target, options) => {
      calls.push("capture.drain");
      await options.onDraining?.();
      calls.push("capture.detach");
      return fake.unEnrolOutcomes.shift() ?? { kind: "removed", destroyedConnections: 0 };
    },
    forgetPod: (uid) => void calls.push(`capture.forget ${uid}`),
    findEnrolled: () => fake.enrolled,
    forgetNode: () => void calls.push("capture.forgetNode"),
    adoptListeners: (_target, which) => {
      calls.push(`capture.adopt ${which}`);
      return which === "fresh" ? fake.adoptFresh : { kind: "adopted" };
    },
    holdListeners: (_target, pid) => {
      calls.push(`capture.hold ${pid}`);
      return held();
    },
    podCaptureState: () => fake.state,
    listPreEnrolment: () => fake.older,
    destroyPreEnrolment: () => {
      calls.push("capture.destroyOlder");
      return fake.older.length;
    },
    verifyAttachment: () => fake.verifyOutcome,
    selfTest: unused,
    watchDevices: () => ({ close: () => void calls.push("watch.close") }),
    hasOldPrograms: () => fake.oldPrograms,
    upgradePrograms: () => void calls.push("capture.upgrade"),
    setExemptSources: unused,
    close: () => undefined,
  };
  return fake;
}
