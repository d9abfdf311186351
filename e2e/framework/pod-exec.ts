/** Runs a command in a container through the Kubernetes API (WebSocket) and gives back what it printed. */
import { PassThrough } from "node:stream";
import { Exec, KubeConfig, type V1Status } from "@kubernetes/client-node";

export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly container: string;
}

/** Rejects with what was printed when the command fails or takes longer than `timeoutMs`. */
export async function execInPod(
  kubeconfigPath: string,
  pod: PodName,
  command: readonly string[],
  timeoutMs = 20_000,
): Promise<string> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const output: Buffer[] = [];
  const collect = new PassThrough();
  collect.on("data", (chunk: Buffer) => output.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const printed = (): string => Buffer.concat(output).toString("utf8");
  const finished = (status: V1Status): void => {
    if (status.status === "Success") resolve(printed());
    else
      reject(
        new Error(
          `in ${pod.namespace}/${pod.name}: ${status.message ?? "failed"}: ${printed().slice(0, 500)}`,
        ),
      );
  };
  const socket = await new Exec(config).exec(
    pod.namespace,
    pod.name,
    pod.container,
    [...command],
    collect,
    collect,
    null,
    false,
    finished,
  );
  socket.onclose = () =>
    setTimeout(
      () =>
        reject(new Error(`in ${pod.namespace}/${pod.name}: connection ended: ${printed().slice(0, 500)}`)),
      200,
    );
  const timer = setTimeout(
    () =>
      reject(
        new Error(
          `in ${pod.namespace}/${pod.name}: no end after ${timeoutMs} ms: ${printed().slice(0, 500)}`,
        ),
      ),
    timeoutMs,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

const NODE = "/opt/ambit/node/bin/node";

/** Runs JavaScript (an ES module's text, which may await) in a container with the Node of the samples' image. */
export function runInPod(
  kubeconfigPath: string,
  pod: PodName,
  script: string,
  timeoutMs?: number,
): Promise<string> {
  return execInPod(kubeconfigPath, pod, [NODE, "--input-type=module", "-e", script], timeoutMs);
}
