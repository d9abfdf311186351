/** Flags that the commands of `ambit waypoint` share, with istioctl's names. */
import { parseDurationMs } from "#core/runtime/env.ts";
import { AUTOMATIC_WAYPOINT } from "#core/model/waypoint.ts";
import { usageError } from "../../errors.ts";

export const NAME_FLAG = {
  kind: "text",
  placeholder: "NAME",
  default: "waypoint",
  help: "name of the waypoint",
} as const;

export const FOR_FLAG = {
  kind: "choice",
  choices: ["service", "workload", "all", "none"],
  help: "traffic that it serves (absent: service)",
} as const;

export const REVISION_FLAG = {
  kind: "text",
  short: "r",
  placeholder: "REVISION",
  help: "revision of the control plane (label istio.io/rev)",
} as const;

export const ALL_NAMESPACES_FLAG = {
  kind: "switch",
  short: "A",
  help: "waypoints of all namespaces",
} as const;

export const TIMEOUT_FLAG = {
  kind: "text",
  placeholder: "TIME",
  default: "90s",
  help: "how long to wait at most",
} as const;

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Throws for names that cannot be a waypoint's. */
export function checkName(name: string): string {
  if (name === "none") throw usageError('the name "none" is reserved: as a label it means "no waypoint"');
  if (name === AUTOMATIC_WAYPOINT)
    throw usageError(`the name "${name}" is reserved for the waypoint that the controller makes`);
  if (!NAME.test(name)) throw usageError(`"${name}" is no name: lower-case letters, digits and dashes`);
  return name;
}

export function timeoutMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms <= 0)
    throw usageError(`--waypoint-timeout is a time such as 90s, not "${text}"`);
  return ms;
}
