/**
 * The seam between the node agent and the kernel: everything the agent may ask of capture, as one interface.
 * `prepareNode` (prepare-node.ts) makes the real one. All state lives in pins below `bpffsDir` and in the kernel,
 * so that capture outlives the agent: a new agent finds enrolled pods with `findEnrolled`.
 */
import type { Netns } from "#core/linux/netns.ts";
import type { IpAddress } from "#core/net/ip.ts";
import type { SocketAddress } from "#core/net/socket-address.ts";

/** How the programs hang on devices: tcx (Linux 6.6) or a clsact filter (5.10). Both run the same code. */
export type Attachment = "tcx" | "clsact";

export interface CaptureTarget {
  /** Names the pod's pins: letters, digits, dash and underscore (bpffs allows no dot). */
  readonly podUid: string;
  readonly netns: Netns;
  /** Addresses that Kubernetes knows. Those on the pod's devices are added. */
  readonly ips: readonly IpAddress[];
}

export interface EnrolOptions {
  /**
   * TCP that the pod forwards for others (virtual machines, docker in the pod) has no socket to remember it by:
   * dropped unless this is set, then it passes unmeshed.
   */
  readonly allowForwarding?: boolean;
  /** SYNs without a ztunnel listener are dropped (and retried by the sender) instead of refused. */
  readonly holdWithoutListener?: boolean;
  readonly signal?: AbortSignal;
}

export type EnrolRefusal =
  /** No listener on one of ztunnel's ports in the pod's namespace. */
  | "no-listener"
  /** A listener on one of ztunnel's ports does not carry ztunnel's mark: it belongs to the application. */
  | "foreign-listener"
  /** A device without an Ethernet header, which the egress program cannot handle, or none at all. */
  | "unsupported-device"
  /** Someone else's filter would run before ours and could let traffic out. */
  | "foreign-filter"
  | "kernel"
  /** Everything is in place but a probe connection was not captured. */
  | "self-test-failed";

export type EnrolOutcome =
  | { readonly kind: "enrolled"; readonly attachment: Attachment; readonly preEnrolmentConnections: number }
  /** Was enrolled before: verified, listeners adopted again, draining ended. */
  | { readonly kind: "already-enrolled"; readonly attachment: Attachment }
  /** Nothing of the attempt is left; a pod that was enrolled before stays captured, and fails closed. */
  | { readonly kind: "refused"; readonly reason: EnrolRefusal; readonly message: string };

export interface UnEnrolOptions {
  /** Milliseconds that captured connections may take to end by themselves. */
  readonly drainMs: number;
  /** Runs once new connections are no longer captured: withdraw the annotation and the workload's HBONE flag here. */
  readonly onDraining?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

export type UnEnrolOutcome =
  | { readonly kind: "removed"; readonly destroyedConnections: number }
  | { readonly kind: "not-enrolled" }
  /** Captured connections remain (cancelled, or not destroyable): capture stays, draining. Call again, or enrol. */
  | { readonly kind: "still-captured"; readonly connections: number; readonly message: string };

/** Names of the four entries of the listener map; `dns` is not used yet. */
export type ListenerRole = "inbound" | "outbound" | "hbone";

export type AdoptOutcome =
  | { readonly kind: "adopted" }
  | {
      readonly kind: "refused";
      readonly reason: "no-listener" | "foreign-listener" | "only-old-listeners" | "kernel";
      readonly role: ListenerRole;
      readonly message: string;
    };

export interface HeldListeners {
  readonly count: number;
  /** Closes the duplicates now: queued connections move to the newest listener, or are reset if there is none. */
  release(): void;
  /** Closes them after `ms`: call when ztunnel has gone, so that callers do not hang for ever. */
  releaseAfter(ms: number): void;
  /** Takes back `releaseAfter`. */
  keep(): void;
}

export interface CaptureCounters {
  readonly inbound: number;
  readonly outbound: number;
  readonly hbone: number;
  /** Sockets flagged as captured for life. */
  readonly flagged: number;
  readonly noListener: number;
  /** SYNs dropped because the flag could not be stored. */
  readonly noMemory: number;
  /** TCP without a TCP socket that was dropped. */
  readonly rawDropped: number;
  readonly resetsSent: number;
  readonly controlToLoopback: number;
  readonly probesExempted: number;
  readonly relabelled: number;
}

export interface PodCaptureState {
  readonly attachment: Attachment;
  readonly draining: boolean;
  readonly listeners: Readonly<Record<ListenerRole, boolean>>;
  readonly counters: CaptureCounters;
  /** Live sockets captured on their way out. */
  readonly capturedOutbound: number;
  /** Live sockets that the application accepted from ztunnel. */
  readonly capturedInbound: number;
  readonly podIps: readonly IpAddress[];
}

/** A connection older than the enrolment, which bypasses the mesh. */
export interface PreEnrolmentConnection {
  readonly direction: "inbound" | "outbound";
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** TCP state as `ss` prints it. */
  readonly state: string;
  readonly inode: number;
}

export interface AttachmentProblem {
  readonly kind: "missing" | "foreign-filter-before" | "missing-rule" | "missing-sysctl" | "missing-address";
  readonly device?: string;
  readonly message: string;
}

export type VerifyOutcome =
  | { readonly kind: "intact" }
  /** Was wrong and is right again. */
  | { readonly kind: "repaired"; readonly problems: readonly AttachmentProblem[] }
  /** Traffic may bypass the mesh: withdraw the annotation, report loudly. */
  | { readonly kind: "broken"; readonly problems: readonly AttachmentProblem[] }
  | { readonly kind: "not-enrolled" };

export type SelfTestOutcome =
  | { readonly kind: "captured" }
  | { readonly kind: "not-captured"; readonly families: readonly (4 | 6)[]; readonly message: string };

export type DeviceEvent =
  | { readonly kind: "attached"; readonly device: string; readonly ifindex: number }
  | { readonly kind: "address-added" | "address-removed"; readonly ip: IpAddress }
  /** The agent must treat the pod as not captured. */
  | { readonly kind: "failed"; readonly message: string };

export interface DeviceWatch {
  close(): void;
}

/** What the pins say: the only truth about which pods are enrolled. */
export interface EnrolledPod {
  readonly podUid: string;
  readonly attachment: Attachment;
  /** Inode of the pod's network namespace; undefined when the namespace is gone (call `forgetPod`). */
  readonly netnsInode: bigint | undefined;
  /** False when an enrolment was interrupted: enrol again or un-enrol. */
  readonly complete: boolean;
}

export interface NodeCapture {
  readonly attachment: Attachment;
  /** How kubelet's probes are recognised; `none`: no kubelet cgroup was given, probes are captured like the rest. */
  readonly probeExemption: "kubelet-cgroup" | "none";

  /** The listeners must exist (ZDS acknowledged). Never leaves a half-enrolled pod behind. */
  enrolPod(target: CaptureTarget, options?: EnrolOptions): Promise<EnrolOutcome>;
  /** Drains, then removes. ZDS Del comes after this, never before. */
  unEnrolPod(target: CaptureTarget, options: UnEnrolOptions): Promise<UnEnrolOutcome>;
  /** Removes the pins of a pod whose namespace is gone. */
  forgetPod(podUid: string): void;
  findEnrolled(): readonly EnrolledPod[];
  /** Removes what is pinned for the node as a whole, once no pod is captured: the kubelet's connections are not noted any more. */
  forgetNode(): void;

  /** Fills the listener map. `fresh`: only with listeners never adopted before (a new ztunnel beside the old one). */
  adoptListeners(target: CaptureTarget, which: "any" | "fresh"): AdoptOutcome;
  /** Duplicates of ztunnel's listeners of this pod, taken from process `ztunnelPid`. */
  holdListeners(target: CaptureTarget, ztunnelPid: number): HeldListeners;

  podCaptureState(target: CaptureTarget): PodCaptureState | undefined;
  listPreEnrolment(target: CaptureTarget): readonly PreEnrolmentConnection[];
  /** Ends them (both ends see an error); returns how many were ended. */
  destroyPreEnrolment(target: CaptureTarget, which?: (connection: PreEnrolmentConnection) => boolean): number;

  /** Checks programs, order of filters, rules and addresses; repairs what it can. */
  verifyAttachment(target: CaptureTarget): VerifyOutcome;
  selfTest(target: CaptureTarget): Promise<SelfTestOutcome>;
  /** Re-attaches when a device appears and follows addresses. One per enrolled pod, for as long as it is enrolled. */
  watchDevices(target: CaptureTarget, onEvent: (event: DeviceEvent) => void): DeviceWatch;
  /** Whether the pod is captured by programs of another build than this agent's. */
  hasOldPrograms(target: CaptureTarget): boolean;
  /** New programs into the live links with all maps kept: captured sockets stay captured. */
  upgradePrograms(target: CaptureTarget): void;
  /** Addresses exempt from inbound capture, beside the recognised probes. Empty in normal use. */
  setExemptSources(target: CaptureTarget, sources: readonly IpAddress[]): void;
  close(): void;
}

export interface PrepareNodeOptions {
  /** A mounted bpffs of this node; pins go to `<bpffsDir>/ambit`. */
  readonly bpffsDir: string;
  /** Directory of the kubelet's own cgroup in the cgroup v2 hierarchy; absent: probes are not exempt. */
  readonly kubeletCgroup?: string;
  /** `auto` takes tcx where the kernel has it. */
  readonly attachment?: Attachment | "auto";
}

export type PrepareNodeOutcome =
  | { readonly kind: "ready"; readonly capture: NodeCapture; readonly warnings: readonly string[] }
  /** This machine cannot capture; `message` says what is missing and what to do. */
  | { readonly kind: "unsupported"; readonly message: string };
