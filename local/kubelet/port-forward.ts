/**
 * Port-forward over one WebSocket: two channels per port (data, error), each opened by its port number in two little-endian bytes.
 * The connection is made inside the pod's network namespace, to its loopback, by the launcher.
 */
import type { RawData, WebSocket } from "ws";
import { launch } from "../launcher/launcher.ts";
import type { NodeContext } from "./node-context.ts";
import type { PodWorker } from "./pod-worker.ts";

export interface ForwardTarget {
  readonly context: NodeContext;
  readonly worker: PodWorker;
}

export function servePortForward(
  ws: WebSocket,
  ports: readonly number[],
  { context, worker }: ForwardTarget,
): void {
  ws.on("error", () => ws.terminate());
  const netns = worker.sandbox?.netns ?? "";
  const plan = netns === "" ? [] : [["netns", netns]];
  const children = ports.map((port, index) => {
    for (const channel of [2 * index, 2 * index + 1]) ws.send(Buffer.of(channel, port & 255, port >> 8));
    const child = launch(
      context.launcher,
      { plan, end: ["connect", "127.0.0.1", String(port)] },
      { env: {}, stdio: ["pipe", "pipe", "pipe"] },
    );
    child.stdin?.on("error", () => undefined);
    child.stdout?.on("data", (chunk: Buffer) => ws.send(Buffer.concat([Buffer.of(2 * index), chunk])));
    child.stderr?.on("data", (chunk: Buffer) => ws.send(Buffer.concat([Buffer.of(2 * index + 1), chunk])));
    child.on("error", () => ws.close(1011));
    child.on("close", () => ws.close(1000));
    return child;
  });
  ws.on("message", (data: RawData) => {
    const bytes = Buffer.isBuffer(data)
      ? data
      : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
    const channel = bytes[0] ?? 0;
    if (channel % 2 === 0) children[channel / 2]?.stdin?.write(bytes.subarray(1));
  });
  ws.on("close", () => children.forEach((child) => child.kill("SIGKILL")));
}
