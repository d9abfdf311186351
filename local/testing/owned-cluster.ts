/**
 * For tests: a cluster owned by a process of its own, which a test may kill, and what a test does with pods in it. Call `start` before
 * and `stop` after the tests, also when they fail.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { Exec, KubeConfig } from "@kubernetes/client-node";
import { createObject } from "#core/k8s/apply.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { EVENT, type Kind, kindPath, POD } from "#core/k8s/kinds.ts";
import { KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { clusterDown } from "../cluster.ts";
import type { Cluster } from "../cluster-types.ts";
import type { PodObject, PodStatus } from "../kubelet/pod-types.ts";

const isRoot = process.getuid?.() === 0;

/** false, or why root tests are skipped; with AMBIT_REQUIRE_ROOT=1 they fail instead. */
export function skipWithoutRoot(): false | string {
  if (isRoot) return false;
  const required = new EnvReader().boolean("AMBIT_REQUIRE_ROOT", {
    default: false,
    help: "fail instead of skipping",
  });
  if (required) throw new Error("these tests need root");
  return "needs root: a local cluster";
}

interface PodShape {
  readonly node?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly container?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

interface ExecResult {
  readonly out: string;
  readonly code: number;
}

export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function isReady(status: PodStatus): boolean {
  return status.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

interface Running {
  readonly owner: ChildProcess;
  readonly cluster: Cluster;
  readonly config: KubeConfig;
  readonly client: KubeClient;
}

export class OwnedCluster {
  readonly id: string;
  readonly #nodes: number;
  #parts: Running | undefined;

  constructor(id: string, nodes: number) {
    this.id = id;
    this.#nodes = nodes;
  }

  get #running(): Running {
    assert.ok(this.#parts !== undefined, "the cluster is up");
    return this.#parts;
  }

  get owner(): ChildProcess {
    return this.#running.owner;
  }

  get cluster(): Cluster {
    return this.#running.cluster;
  }

  get config(): KubeConfig {
    return this.#running.config;
  }

  get client(): KubeClient {
    return this.#running.client;
  }

  async start(): Promise<void> {
    if (!isRoot) return;
    const script = join(import.meta.dirname, "..", "test-owner.ts");
    const owner = spawn(process.execPath, [script, this.id, String(this.#nodes)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert.ok(owner.stdout !== null);
    for await (const line of createInterface({ input: owner.stdout })) {
      const cluster = JSON.parse(line) as Cluster;
      const config = new KubeConfig();
      config.loadFromFile(cluster.kubeconfigPath);
      this.#parts = { owner, cluster, config, client: new KubeClient(config) };
      return;
    }
    throw new Error("the owner ended before its cluster was up");
  }

  async stop(): Promise<void> {
    if (!isRoot) return;
    this.#parts?.client.close();
    this.#parts?.owner.kill("SIGKILL");
    await clusterDown(this.id);
  }

  async makePod(name: string, shape: PodShape = {}): Promise<void> {
    const container = {
      name: "main",
      image: "ambit/sample-echo",
      readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1, failureThreshold: 1 },
      ...shape.container,
    };
    await eventually(`service account for ${name}`, async () => {
      try {
        const metadata = { name, namespace: "default", labels: shape.labels ?? {} };
        await createObject(this.client, POD, "default", {
          metadata,
          spec: {
            nodeName: shape.node,
            terminationGracePeriodSeconds: 5,
            ...shape.spec,
            containers: [container],
          },
        });
        return true;
      } catch (error) {
        if (kubeStatus(error) !== 403) throw error;
        return undefined;
      }
    });
  }

  async pod(name: string): Promise<PodObject> {
    const path = kindPath(POD, { namespace: "default", name });
    return (await this.client.json({ method: "GET", path })) as PodObject;
  }

  async statusOf(name: string): Promise<PodStatus> {
    return jsonObject((await this.pod(name)).status) as PodStatus;
  }

  untilReady(name: string): Promise<PodStatus> {
    return eventually(`pod ${name} Ready`, async () => {
      const status = await this.statusOf(name);
      return isReady(status) ? status : undefined;
    });
  }

  async run(pod: string, script: string): Promise<ExecResult> {
    let out = "";
    const sink = (): Writable =>
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          out += chunk.toString();
          done();
        },
      });
    const code = await new Promise<number>((resolve, reject) => {
      new Exec(this.config)
        .exec("default", pod, "main", ["sh", "-c", script], sink(), sink(), null, false, (status) => {
          resolve(status.status === "Success" ? 0 : Number(status.details?.causes?.[0]?.message ?? -1));
        })
        .catch(reject);
    });
    return { out, code };
  }

  async eventsOf(pod: string, reason: string): Promise<readonly string[]> {
    const path = kindPath(EVENT, { namespace: "default" });
    const list = jsonObject(await this.client.json({ method: "GET", path }));
    return jsonList(list["items"])
      .map(jsonObject)
      .filter((event) => event["reason"] === reason && jsonObject(event["involvedObject"])["name"] === pod)
      .map((event) => jsonText(event["message"]));
  }

  async remove(kind: Kind, name: string): Promise<void> {
    await this.client.json({ method: "DELETE", path: kindPath(kind, { namespace: "default", name }) });
  }
}
