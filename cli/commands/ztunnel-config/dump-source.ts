/** Where `ztunnel-config` reads: a file, the ztunnel of a pod or node, one ztunnel, or all of them. */
import { describeProblems } from "#core/base/parse-result.ts";
import { deadline } from "#core/base/abort.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { ADMIN_PORT } from "#core/model/well-known.ts";
import type { ClusterAccess, PodRef } from "../../cluster/cluster-access.ts";
import { isZtunnel, meshPods, namedPod } from "../../cluster/select-pod.ts";
import type { Argument, Flags } from "../../command.ts";
import type { CommandContext } from "../../context.ts";
import { parseZtunnelDump, type ZtunnelDump } from "../../dump/ztunnel-dump.ts";
import { usageError } from "../../errors.ts";
import { OUTPUT_FLAG } from "../../render/structured.ts";

export const POD_ARGUMENT: Argument = {
  name: "pod[.namespace]",
  help: "a ztunnel, or any pod: the ztunnel of its node is asked, and only this pod is shown",
};

export const SOURCE_FLAGS = {
  output: OUTPUT_FLAG,
  node: { kind: "text", placeholder: "NODE", help: "ask the ztunnel of this node" },
  file: {
    kind: "text",
    short: "f",
    placeholder: "FILE",
    help: "read a configuration dump from a file, - for standard input",
  },
  "proxy-admin-port": {
    kind: "integer",
    placeholder: "PORT",
    default: ADMIN_PORT,
    min: 1,
    max: 65_535,
    help: "ztunnel's admin port",
  },
} as const satisfies Flags;

export interface SourceFlags {
  readonly node: string | undefined;
  readonly file: string | undefined;
  readonly "proxy-admin-port": number;
}

/** A pod that the output is limited to. */
export interface PodFocus {
  readonly namespace: string;
  readonly name: string;
}

export interface Ztunnels {
  readonly access: ClusterAccess;
  readonly pods: readonly PodRef[];
  readonly focus: PodFocus | undefined;
}

export interface LoadedDumps {
  readonly dumps: readonly ZtunnelDump[];
  readonly focus: PodFocus | undefined;
  /** The nodes that were asked; undefined when a file was read. */
  readonly from: { readonly access: ClusterAccess; readonly nodes: ReadonlySet<string> } | undefined;
}

/** What a ztunnel may take to answer; a dump of a large mesh has tens of megabytes. */
const DUMP_TIMEOUT_MS = 30_000;

/**
 * `several`: without pod or node, `one` ztunnel is enough (all of them know the same), or `every` one is asked
 * (each knows its own certificates and connections).
 */
export async function loadDumps(
  flags: SourceFlags,
  args: readonly string[],
  several: "one" | "every",
  context: CommandContext,
): Promise<LoadedDumps> {
  if ([flags.node, flags.file, args[0]].filter((x) => x !== undefined).length > 1)
    throw usageError("a pod, --node and --file exclude each other: give one of them");
  if (flags.file !== undefined) {
    const dump = readDump(
      await context.readText(flags.file),
      flags.file === "-" ? "standard input" : flags.file,
    );
    return { dumps: [dump], focus: undefined, from: undefined };
  }
  const { access, pods, focus } = await chooseZtunnels(flags.node, args[0], context);
  const asked = several === "one" ? pods.slice(0, 1) : pods;
  const dumps = await Promise.all(
    asked.map((pod) => fetchDump(pod, flags["proxy-admin-port"], access, context)),
  );
  return { dumps, focus, from: { access, nodes: new Set(asked.map((pod) => pod.node)) } };
}

/** All ztunnels, or the one that node or pod lead to. */
export async function chooseZtunnels(
  node: string | undefined,
  podName: string | undefined,
  context: CommandContext,
): Promise<Ztunnels> {
  const access = await context.cluster();
  const pods = await meshPods("ztunnel", context, access);
  if (podName === undefined && node === undefined) return { access, pods, focus: undefined };
  if (podName === undefined) return { access, pods: onNode(pods, node ?? ""), focus: undefined };
  const pod = await namedPod(podName, context, access);
  return isZtunnel(pod, context)
    ? { access, pods: [pod], focus: undefined }
    : { access, pods: onNode(pods, pod.node), focus: { namespace: pod.namespace, name: pod.name } };
}

function onNode(pods: readonly PodRef[], node: string): readonly PodRef[] {
  const found = pods.filter((pod) => pod.node === node);
  if (found.length > 0) return found.slice(0, 1);
  const nodes = pods.map((pod) => pod.node).join(", ");
  throw new AmbitError("CLI_NOT_FOUND", `no ztunnel runs on node "${node}"; they run on ${nodes}`);
}

async function fetchDump(
  pod: PodRef,
  port: number,
  access: ClusterAccess,
  context: CommandContext,
): Promise<ZtunnelDump> {
  const address = { namespace: pod.namespace, name: pod.name, port };
  const signal = deadline(DUMP_TIMEOUT_MS, context.signal);
  const reply = await access.transport.request(address, { method: "GET", path: "/config_dump" }, signal);
  const where = `${pod.name}.${pod.namespace}`;
  if (reply.status !== 200)
    throw new AmbitError("CLI_BAD_REPLY", `/config_dump of ${where} answered ${reply.status}`);
  return readDump(reply.body, where);
}

function readDump(text: string, where: string): ZtunnelDump {
  const dump = parseZtunnelDump(text);
  if (dump.ok) return dump.value;
  throw new AmbitError("CLI_BAD_DUMP", `what ${where} gave ${describeProblems(dump.problems)}`);
}
