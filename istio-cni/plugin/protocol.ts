/**
 * Pure. What travels between the CNI plugin and the node agent, and the codes of the CNI specification.
 *
 * One request per connection on the agent's unix socket: `POST /cni HTTP/1.0`, a header `CNI-<NAME>` per CNI_<NAME>
 * variable (control characters removed), the network configuration as the body. The reply's body goes to standard
 * output unchanged; status 200 is exit 0, anything else exit 1 with the CNI error JSON as the body.
 * With the agent unreachable ADD, CHECK and GC fail with TRY_LATER and STATUS with NOT_AVAILABLE, so that no pod
 * starts uncaptured; DEL succeeds, so that no pod is stuck (the agent notices by itself).
 */

export const DEFAULT_AGENT_SOCKET = "/var/run/istio-cni/cni.sock";
export const PLUGIN_TYPE = "ambit-cni";
export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export const BODY_LIMIT_BYTES = 1_048_575;
export const HEAD_LIMIT_BYTES = 16_384;
export const TIMEOUT_MS = 60_000;

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** CNI specification, "Error": 1-99 are reserved, 100 and above are the plugin's own. */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  undecodableInput: 6,
  invalidConfig: 7,
  tryLater: 11,
  notAvailable: 50,
  /** The agent refused or failed to capture the pod; the message says why. */
  enrolmentFailed: 100,
} as const;

export interface CniError {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export const MESSAGES = {
  command: "CNI_COMMAND must be ADD, DEL, CHECK, GC, STATUS or VERSION",
  inputTooLarge: "the network configuration on standard input is larger than 1 MiB",
  environmentTooLarge: "the CNI_* environment is larger than 16 KiB",
  unreachable: "the node agent does not answer; check that the istio-cni-node pod of this node is running",
  closed: "the node agent closed the connection; see the log of the istio-cni-node pod of this node",
  incomplete: "the node agent gave no complete answer; see the log of the istio-cni-node pod of this node",
} as const;
