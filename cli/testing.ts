/** For tests of commands: a world that records what was printed, and a cluster that exists in memory. */
import { readFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#core/base/clock.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { EnvReader } from "#core/runtime/env.ts";
import type { JsonObject } from "#core/k8s/json-read.ts";
import { projectMeta } from "#core/k8s/project.ts";
import type { ClusterAccess, PodRef } from "./cluster/cluster-access.ts";
import type { ObjectAccess, ObjectName } from "./cluster/object-access.ts";
import type { PodReply } from "./cluster/port-forward.ts";
import { AMBIT } from "./command-table.ts";
import type { CommandContext, GlobalOptions } from "./context.ts";
import { reportError } from "./errors.ts";
import type { ExitCode } from "./exit-codes.ts";
import { parseCommandLine } from "./parse-command-line.ts";
import { printableLines } from "./render/printable.ts";

const TESTDATA = join(import.meta.dirname, "testdata");
const NOON_MS = Date.parse("2026-01-01T12:00:00Z");

export interface Outcome {
  readonly exit: ExitCode | "help" | "wrong";
  readonly out: string;
  readonly err: string;
}

/** What pods answer: `GET namespace/name:port/path` to a reply; everything else refuses the connection. */
type Replies = Readonly<Record<string, PodReply | string>>;

export interface FakeCluster {
  readonly pods: readonly PodRef[];
  readonly replies: Replies;
  /** Other objects, with `kind`. */
  readonly objects?: readonly JsonObject[];
  /** Kinds in namespaces (`AuthorizationPolicy istio-system`) whose list is refused. */
  readonly forbidden?: readonly string[];
  /** Called when time passes: what the cluster does meanwhile. Returns the objects as they are then. */
  readonly meanwhile?: (objects: readonly JsonObject[]) => readonly JsonObject[];
}

export function aPod(pod: Partial<PodRef> & Pick<PodRef, "name">): PodRef {
  return {
    namespace: "istio-system",
    node: "n1",
    ready: true,
    running: true,
    owner: "DaemonSet/ztunnel",
    ...pod,
  };
}

/** Runs `ambit <words>` as main does, with all output kept. */
export async function runAmbit(
  words: string,
  cluster?: FakeCluster,
  input = "",
): Promise<Outcome & { readonly requests: readonly string[] }> {
  const printed = { out: "", err: "" };
  const requests: string[] = [];
  const line = parseCommandLine(AMBIT, words.split(" "));
  if (line.kind === "help") return { exit: "help", ...printed, requests };
  if (line.kind === "wrong") return { exit: "wrong", out: "", err: line.message, requests };
  const objects = [...(cluster?.objects ?? [])];
  const onTime = (): void =>
    void objects.splice(0, Infinity, ...(cluster?.meanwhile?.([...objects]) ?? objects));
  const access = (): ClusterAccess => fakeAccess(cluster, objects, requests);
  const context = testContext(line.options, printed, input, { access, onTime });
  try {
    return { exit: await line.command.run(line.invocation, context), ...printed, requests };
  } catch (error) {
    const report = reportError(error);
    return { exit: report.exit, out: printed.out, err: printed.err + report.text, requests };
  }
}

/** The text of `testdata/<name>`; written first when UPDATE_GOLDEN=1. */
export function golden(name: string, actual: string): string {
  const path = join(TESTDATA, name);
  if (new EnvReader().boolean("UPDATE_GOLDEN", { default: false, help: "rewrite golden files" }))
    writeFileSync(path, actual);
  return readFileSync(path, "utf8");
}

export function testdata(name: string): string {
  return readFileSync(join(TESTDATA, name), "utf8");
}

export function testdataPath(name: string): string {
  return join(TESTDATA, name);
}

function testContext(
  options: GlobalOptions,
  printed: { out: string; err: string },
  input: string,
  { access, onTime }: { readonly access: () => ClusterAccess; readonly onTime: () => void },
): CommandContext {
  let passedMs = 0;
  const clock: Clock = {
    nowMs: () => NOON_MS + passedMs,
    monotonicMs: () => passedMs,
    sleep: (ms) => {
      passedMs += ms;
      onTime();
      return Promise.resolve();
    },
    after: () => () => undefined,
  };
  return {
    options,
    clock,
    signal: new AbortController().signal,
    out: (text) => (printed.out += text),
    note: (text) => (printed.err += `${printableLines(text)}\n`),
    readText: (path) => (path === "-" ? Promise.resolve(input) : readFile(path, "utf8")),
    cluster: () => Promise.resolve(access()),
  };
}

function fakeAccess(
  cluster: FakeCluster | undefined,
  objects: JsonObject[],
  requests: string[],
): ClusterAccess {
  if (cluster === undefined) throw new AmbitError("CLI_NO_CLUSTER", "no Kubernetes cluster is configured");
  return {
    objects: fakeObjects(objects, requests, cluster.forbidden ?? []),
    listPods: (namespace) => Promise.resolve(cluster.pods.filter((pod) => pod.namespace === namespace)),
    getPod: (namespace, name) =>
      Promise.resolve(cluster.pods.find((pod) => pod.namespace === namespace && pod.name === name)),
    transport: {
      request: (pod, request) => {
        const key = `${request.method} ${pod.namespace}/${pod.name}:${pod.port}${request.path}`;
        requests.push(key);
        const reply = cluster.replies[key];
        if (reply === undefined)
          return Promise.reject(new AmbitError("CLI_POD_UNREACHABLE", `cannot reach ${key}`));
        return Promise.resolve(typeof reply === "string" ? { status: 200, body: reply } : reply);
      },
    },
  };
}

function fakeObjects(objects: JsonObject[], requests: string[], forbidden: readonly string[]): ObjectAccess {
  const isNamed =
    (kind: string, { namespace, name }: ObjectName) =>
    (object: JsonObject): boolean => {
      const metadata = projectMeta(object);
      return object["kind"] === kind && metadata.namespace === namespace && metadata.name === name;
    };
  const note = (verb: string, kind: string, { namespace, name }: ObjectName): void =>
    void requests.push(`${verb} ${kind} ${namespace === "" ? name : `${namespace}/${name}`}`);
  return {
    list: (kind, namespace) => {
      if (forbidden.includes(`${kind.kind} ${namespace ?? ""}`))
        return Promise.reject(new AmbitError("KUBE_STATUS", "403 forbidden", { fields: { status: 403 } }));
      const isListed = (object: JsonObject): boolean =>
        object["kind"] === kind.kind &&
        (namespace === undefined || projectMeta(object).namespace === namespace);
      return Promise.resolve(objects.filter(isListed));
    },
    get: (kind, name) => Promise.resolve(objects.find(isNamed(kind.kind, name))),
    apply: (kind, manifest) => {
      const name = projectMeta(manifest);
      note("APPLY", kind.kind, name);
      const at = objects.findIndex(isNamed(kind.kind, name));
      const applied = { ...(at < 0 ? {} : objects[at]), ...manifest };
      objects.splice(at < 0 ? objects.length : at, 1, applied);
      return Promise.resolve(applied);
    },
    patch: (kind, name, change) => {
      note(`PATCH ${JSON.stringify(change)}`, kind.kind, name);
      return Promise.resolve();
    },
    delete: (kind, name) => {
      note("DELETE", kind.kind, name);
      const at = objects.findIndex(isNamed(kind.kind, name));
      if (at >= 0) objects.splice(at, 1);
      return Promise.resolve(at >= 0);
    },
  };
}
