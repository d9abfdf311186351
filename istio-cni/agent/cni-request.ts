/** Pure. Reads what the CNI plugin forwarded, strictly: the environment as headers, the configuration as the body. */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { type IpAddress, parseIp } from "#core/net/ip.ts";
import type { CniCommand } from "../plugin/protocol.ts";

export interface CniRequest {
  readonly command: Exclude<CniCommand, "VERSION">;
  readonly containerId: string;
  /** Empty for DEL of a namespace that is gone. */
  readonly netnsPath: string;
  readonly ifName: string;
  readonly pod: { readonly uid: string; readonly name: string; readonly namespace: string } | undefined;
  readonly cniVersion: string;
  /** The previous plugin's result, passed through unread. */
  readonly prevResult: unknown;
  /** Addresses that the chain gave to the pod. */
  readonly ips: readonly IpAddress[];
  /** Container ids and interfaces that the runtime still knows, for GC; undefined without. */
  readonly validAttachments: readonly string[] | undefined;
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

const COMMANDS = new Set(["ADD", "DEL", "CHECK", "GC", "STATUS"]);
const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/;
const IF_NAME = /^[^\s/:]{1,15}$/;

/** Problems name the variable or the field of the configuration. */
export function parseCniRequest(headers: Headers, body: string): Parsed<CniRequest> {
  const command = header(headers, "cni-command");
  if (!COMMANDS.has(command)) return problem("CNI_COMMAND", "must be ADD, DEL, CHECK, GC or STATUS");
  const config = parseConfig(body);
  if (config === undefined) return problem("configuration", "is not a JSON object");
  const containerId = header(headers, "cni-containerid");
  const ifName = header(headers, "cni-ifname");
  const netnsPath = header(headers, "cni-netns");
  if (command !== "GC" && command !== "STATUS") {
    if (!CONTAINER_ID.test(containerId))
      return problem("CNI_CONTAINERID", "is missing or not a container id");
    if (!IF_NAME.test(ifName)) return problem("CNI_IFNAME", "is missing or not an interface name");
  }
  if (command === "ADD" && !netnsPath.startsWith("/"))
    return problem("CNI_NETNS", "must be an absolute path");
  return parsed({
    command: command as CniRequest["command"],
    containerId,
    netnsPath,
    ifName,
    pod: parsePod(header(headers, "cni-args")),
    cniVersion: versionOf(config["cniVersion"]),
    prevResult: config["prevResult"],
    ips: resultIps(config["prevResult"]),
    validAttachments: attachments(config["cni.dev/valid-attachments"]),
  });
}

function versionOf(value: unknown): string {
  return typeof value === "string" && /^[0-9.]{1,16}$/.test(value) ? value : "1.0.0";
}

/** CNI_ARGS is `key=value` pairs between semicolons, in any order. */
function parsePod(args: string): CniRequest["pod"] {
  const pairs = new Map(args.split(";").map((pair) => pair.split("=", 2) as [string, string | undefined]));
  const uid = pairs.get("K8S_POD_UID") ?? "";
  const name = pairs.get("K8S_POD_NAME") ?? "";
  const namespace = pairs.get("K8S_POD_NAMESPACE") ?? "";
  const valid = [uid, name, namespace].every((text) => /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(text));
  return valid ? { uid, name, namespace } : undefined;
}

function resultIps(prevResult: unknown): readonly IpAddress[] {
  const ips = isObject(prevResult) ? prevResult["ips"] : undefined;
  if (!Array.isArray(ips)) return [];
  return ips.flatMap((entry: unknown) => {
    const address = isObject(entry) ? entry["address"] : undefined;
    const ip = typeof address === "string" ? parseIp(address.split("/")[0] ?? "") : undefined;
    return ip?.ok === true ? [ip.value] : [];
  });
}

function attachments(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.flatMap((entry: unknown) => {
    const id = isObject(entry) ? entry["containerID"] : undefined;
    const ifName = isObject(entry) ? entry["ifname"] : undefined;
    return typeof id === "string" && typeof ifName === "string" ? [attachmentKey(id, ifName)] : [];
  });
}

export function attachmentKey(containerId: string, ifName: string): string {
  return `${containerId}/${ifName}`;
}

function parseConfig(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(body) as unknown;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function header(headers: Headers, name: string): string {
  const value = headers[name];
  return typeof value === "string" ? value : "";
}
