/** Applications of the kernel tests: an echo server and clients, whose sockets live in pods' namespaces. */
import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Netns } from "#core/linux/netns.ts";
import { tcpListenerFd, tcpSocketFd } from "#core/linux/tcp-socket.ts";

export interface EchoServer {
  /** Peers' addresses in order of arrival. */
  readonly peers: readonly string[];
  close(): void;
}

/** Answers `e:` and what it got. */
export function startEcho(netns: Netns, port: number): EchoServer {
  const peers: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (socket) => {
    peers.push((socket.remoteAddress ?? "").replace(/^::ffff:/, ""));
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.on("data", (data: Buffer) => socket.write(Buffer.concat([Buffer.from("e:"), data])));
  });
  server.listen({ fd: tcpListenerFd({ netns, port, backlog: 512 }), backlog: 512 });
  return {
    peers,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

export interface CallOptions {
  readonly timeoutMs?: number;
  /** A socket made by the test instead of a plain one. */
  readonly fd?: number;
  readonly text?: string;
}

/** A connected client socket; rejects with the system's error code. */
export async function connect(
  netns: Netns,
  host: string,
  port: number,
  options: CallOptions = {},
): Promise<net.Socket> {
  const fd = options.fd ?? tcpSocketFd({ netns, family: host.includes(":") ? 6 : 4 });
  const socket = new net.Socket({ fd, manualStart: true } as net.SocketConstructorOpts);
  const signal = AbortSignal.timeout(options.timeoutMs ?? 5_000);
  socket.connect({ host, port });
  try {
    await once(socket, "connect", { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.on("error", () => undefined);
  return socket;
}

export type CallResult =
  | { readonly kind: "ok"; readonly reply: string; readonly local: string; readonly remote: string }
  | { readonly kind: "failed"; readonly code: string };

/** One new connection with one question and one answer. */
export async function call(
  netns: Netns,
  host: string,
  port: number,
  options: CallOptions = {},
): Promise<CallResult> {
  let socket: net.Socket | undefined;
  try {
    socket = await connect(netns, host, port, options);
    const reply = await ask(socket, options.text ?? "HELLO-CLEAR", options.timeoutMs);
    return { kind: "ok", reply, local: socket.localAddress ?? "", remote: socket.remoteAddress ?? "" };
  } catch (error) {
    return { kind: "failed", code: codeOf(error) };
  } finally {
    socket?.destroy();
  }
}

/** One question on an open connection. */
export function ask(socket: net.Socket, text: string, timeoutMs = 5_000): Promise<string> {
  const wanted = text.length + 2;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let reply = "";
  const onData = (data: Buffer): void => {
    reply += data.toString("latin1");
    if (reply.length >= wanted) resolve(reply);
  };
  const onClose = (): void =>
    reject(socket.errored ?? Object.assign(new Error("closed"), { code: "CLOSED" }));
  const timer = setTimeout(
    () => reject(Object.assign(new Error("no reply"), { code: "ETIMEDOUT" })),
    timeoutMs,
  );
  socket.on("data", onData);
  socket.on("close", onClose);
  if (socket.destroyed) onClose();
  else socket.write(text);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("close", onClose);
  });
}

export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "AbortError" || error.name === "TimeoutError") return "ETIMEDOUT";
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

export interface LoadReport {
  readonly longMessages: number;
  readonly newConnections: number;
  /** Of a new connection with its question and answer; reported, not asserted. */
  readonly slowestMs: number;
  readonly errors: readonly string[];
}

export interface Load {
  /** May be called again. */
  stop(): Promise<LoadReport>;
}

/** Open connections that never pause, and new connections one after the other. */
export function startLoad(netns: Netns, host: string, port: number, longConnections: number): Load {
  const report = { longMessages: 0, newConnections: 0, slowestMs: 0, errors: [] as string[] };
  let running = true;
  const long = async (index: number): Promise<void> => {
    const socket = await connect(netns, host, port);
    for (let n = 0; running; n++) {
      const text = `L${index}-${n}-CLEAR`;
      const reply = await ask(socket, text);
      if (reply !== `e:${text}`) throw new Error(`wrong reply ${reply}`);
      report.longMessages++;
      await sleep(10);
    }
    socket.end();
  };
  const fresh = async (): Promise<void> => {
    while (running) {
      const start = performance.now();
      const result = await call(netns, host, port, { text: "N-CLEAR" });
      report.slowestMs = Math.max(report.slowestMs, Math.round(performance.now() - start));
      if (result.kind === "failed") report.errors.push(`new ${host}: ${result.code}`);
      else report.newConnections++;
      await sleep(5);
    }
  };
  const guard = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => void report.errors.push(`long ${host}: ${codeOf(error)}`));
  const all = [fresh(), ...Array.from({ length: longConnections }, (_, i) => guard(long(i)))];
  return {
    stop: async () => {
      running = false;
      await Promise.all(all);
      return report;
    },
  };
}
