/**
 * One `exec` over a WebSocket, sub-protocol v4 or v5.channel.k8s.io: binary messages whose first byte is the channel
 * (0 stdin, 1 stdout, 2 stderr, 3 error as a Status, 4 resize; 255 closes a channel in v5).
 */
import type { ChildProcess } from "node:child_process";
import type { RawData, WebSocket } from "ws";
import { describeError } from "#core/runtime/errors.ts";
import type { RunningContainer } from "./container.ts";

export interface ExecOptions {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

/** The launcher's `terminal` step reads window sizes from descriptor 3. */
const SIZE_FD = 3;
const RESIZE = 4;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const CLOSE = 255;

export function serveExec(ws: WebSocket, container: RunningContainer, options: ExecOptions): void {
  ws.on("error", () => ws.terminate());
  let child: ChildProcess;
  try {
    const stdio = [options.stdin ? "pipe" : "ignore", "pipe", "pipe"] as const;
    child = options.tty
      ? container.exec(options.command, [...stdio, "pipe"], [["terminal"]])
      : container.exec(options.command, stdio);
  } catch (error) {
    finish(ws, { status: "Failure", reason: "InternalError", message: describeError(error) });
    return;
  }
  forward(ws, child.stdout, STDOUT);
  forward(ws, child.stderr, STDERR);
  child.stdin?.on("error", () => undefined);
  ws.on("message", (data: RawData) => receive(data, child));
  ws.on("close", () => child.kill("SIGKILL"));
  child.on("error", (error) =>
    finish(ws, { status: "Failure", reason: "InternalError", message: error.message }),
  );
  child.on("close", (code) => finish(ws, exitStatus(code ?? 137)));
}

function forward(ws: WebSocket, stream: NodeJS.ReadableStream | null, channel: number): void {
  stream?.on("data", (chunk: Buffer) => {
    stream.pause();
    ws.send(Buffer.concat([Buffer.of(channel), chunk]), () => stream.resume());
  });
}

function receive(data: RawData, child: ChildProcess): void {
  const bytes = Buffer.isBuffer(data)
    ? data
    : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
  if (bytes[0] === STDIN) child.stdin?.write(bytes.subarray(1));
  else if (bytes[0] === RESIZE) resize(child, bytes.subarray(1));
  else if (bytes[0] === CLOSE && bytes[1] === STDIN) child.stdin?.end();
}

/** `{"Width":80,"Height":24}`, in either case: the real API server decodes both. */
function resize(child: ChildProcess, message: Buffer): void {
  const pipe = child.stdio[SIZE_FD];
  const text = message.toString("utf8");
  const width = /"width":(\d{1,5})/i.exec(text)?.[1];
  const height = /"height":(\d{1,5})/i.exec(text)?.[1];
  if (width === undefined || height === undefined) return;
  if (pipe === null || pipe === undefined || !("write" in pipe)) return;
  const size = Buffer.alloc(4);
  size.writeUInt16BE(Math.min(65_535, Number(height)), 0);
  size.writeUInt16BE(Math.min(65_535, Number(width)), 2);
  pipe.write(size);
}

/** The form in which kubectl reads an exit status. */
export function exitStatus(code: number): object {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function finish(ws: WebSocket, status: object): void {
  ws.send(Buffer.concat([Buffer.of(ERROR), Buffer.from(JSON.stringify(status))]), () => ws.close(1000));
}
