/** What every step of the tour has at hand, and how a step shows evidence or fails. */
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import type { Cluster } from "#local/cluster-types.ts";
import type { Kubectl } from "../framework/kubectl.ts";
import { answeredLoad, loadBetween, type LoadStats } from "../framework/load.ts";
import { execInPod, type PodName, runInPod } from "../framework/pod-exec.ts";
import type { Wire } from "../framework/wire.ts";

/** Thrown when a step does not hold; the message says what was seen instead. */
export class StepFailed extends Error {}

export interface TourPod extends PodName {
  readonly ips: readonly string[];
  readonly node: string;
  readonly uid: string;
  readonly restarts: number;
}

export interface LoadAllowance {
  readonly allowedFailures?: number;
  readonly mayRetry?: boolean;
}

export interface TourParts {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly kubectl: Kubectl;
  readonly wire: Wire;
  readonly say: (line: string) => void;
}

export class Tour {
  readonly parts: TourParts;

  constructor(parts: TourParts) {
    this.parts = parts;
  }

  /** A fact that was seen, for the reader. */
  show(text: string): void {
    for (const line of text.trimEnd().split("\n")) this.parts.say(`    ${line}`);
  }

  /** The step holds only if this does. */
  check(holds: boolean, fact: string): void {
    if (!holds) throw new StepFailed(`does not hold: ${fact}`);
    this.parts.say(`  ✓ ${fact}`);
  }

  async pods(namespace: string, labelSelector: string): Promise<readonly TourPod[]> {
    const list = await this.parts.client.json({
      method: "GET",
      path: kindPath(POD, { namespace }),
      query: { labelSelector },
    });
    return jsonList(jsonObject(list)["items"]).map(tourPod);
  }

  /** The only pod with this label that is not going away. */
  async pod(namespace: string, labelSelector: string): Promise<TourPod> {
    const [pod] = await this.pods(namespace, labelSelector);
    if (pod === undefined) throw new StepFailed(`there is no pod ${labelSelector} in ${namespace}`);
    return pod;
  }

  run(pod: PodName, script: string, timeoutMs?: number): Promise<string> {
    return runInPod(this.parts.cluster.kubeconfigPath, pod, script, timeoutMs);
  }

  exec(pod: PodName, command: readonly string[], timeoutMs?: number): Promise<string> {
    return execInPod(this.parts.cluster.kubeconfigPath, pod, command, timeoutMs);
  }

  /** Log of a pod's container, its newest lines. */
  async log(pod: PodName, lines = 4_000): Promise<string> {
    const path = kindPath(POD, { namespace: pod.namespace, name: pod.name, subresource: "log" });
    return this.parts.client.text(path, { container: pod.container, tailLines: String(lines) });
  }

  async logLines(pod: PodName): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.log(pod)).split("\n").flatMap((line) => {
      try {
        return [jsonObject(JSON.parse(line))];
      } catch {
        return [];
      }
    });
  }

  async loadStats(): Promise<LoadStats> {
    const frontend = await this.pod("shop", "app=frontend");
    const script = 'console.log(await (await fetch("http://127.0.0.1:9090/stats")).text())';
    return JSON.parse(await this.run(frontend, script)) as LoadStats;
  }

  /**
   * The load since `before`: prints what was tried and requires at most `allowedFailures`, no request that hangs, and
   * 95 % of the rate. A request that the client had to repeat counts as failed, unless `mayRetry`: there kept connections
   * are ended between two requests. Gives back the count at its end.
   */
  async checkLoad(
    before: LoadStats,
    { allowedFailures = 0, mayRetry = false }: LoadAllowance = {},
  ): Promise<LoadStats> {
    const after = await answeredLoad(() => this.loadStats());
    const { tried, held, retried, seconds, nominal, ...counted } = loadBetween(before, after);
    const failed = counted.failed + (mayRetry ? 0 : retried);
    if (failed > 0) this.show(`reasons so far: ${JSON.stringify(after.reasons)}`);
    const limit = allowedFailures === 0 ? "" : ` (at most ${allowedFailures} allowed)`;
    const aside = mayRetry ? `, ${held} held, ${retried} retried` : "";
    this.check(
      failed <= allowedFailures,
      `load: ${failed} failures${limit} of ${tried} requests tried in ${seconds.toFixed(1)} s${aside}`,
    );
    this.check(
      tried >= nominal * 0.95,
      `load ran at its rate: ${((tried / nominal) * 100).toFixed(0)} % of ${after.rate} requests/s`,
    );
    return after;
  }
}

function tourPod(item: unknown): TourPod {
  const object = jsonObject(item);
  const metadata = jsonObject(object["metadata"]);
  const spec = jsonObject(object["spec"]);
  const [container] = jsonList(spec["containers"]).map(jsonObject);
  const status = jsonObject(object["status"]);
  const ips = jsonList(status["podIPs"]).map((ip) => jsonText(jsonObject(ip)["ip"]));
  const lives = jsonList(status["containerStatuses"]).map((c) => Number(jsonObject(c)["restartCount"]));
  return {
    namespace: jsonText(metadata["namespace"]),
    name: jsonText(metadata["name"]),
    uid: jsonText(metadata["uid"]),
    container: jsonText(container?.["name"]),
    node: jsonText(spec["nodeName"]),
    restarts: lives.reduce((sum, count) => sum + count, 0),
    ips,
  };
}
