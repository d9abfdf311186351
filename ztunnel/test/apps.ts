/** Applications of the tests: servers and clients on plain sockets, with every way to end. */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export interface TestServer {
  readonly port: number;
  /** Remote addresses of the connections accepted so far. */
  readonly clients: readonly string[];
  close(): Promise<void>;
}

/** Sends everything back; ends when the client does. */
export function echoServer(host: string): Promise<TestServer> {
  return serve(host, (socket) => void socket.pipe(socket));
}

/** Reads to the end, then answers with the number of bytes and ends. */
export function countingServer(host: string): Promise<TestServer> {
  return serve(host, (socket) => {
    let count = 0;
    socket.on("data", (chunk) => (count += chunk.length));
    socket.on("end", () => socket.end(`${count} bytes`));
  });
}

/** Speaks first. */
export function greetingServer(host: string, greeting: string): Promise<TestServer> {
  return serve(host, (socket) => void socket.end(greeting));
}

async function serve(host: string, onSocket: (socket: Socket) => void): Promise<TestServer> {
  const clients: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    clients.push(socket.remoteAddress ?? "");
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    clients,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

type ClientOutcome =
  | { readonly kind: "ended"; readonly received: string }
  | { readonly kind: "reset"; readonly received: string; readonly code: string };

export interface TestClient {
  readonly socket: Socket;
  /** How the server's side ended. */
  readonly outcome: Promise<ClientOutcome>;
  /** Resolves when so much has arrived. */
  received(length: number): Promise<string>;
}

export interface Dial {
  readonly host: string;
  readonly port: number;
  readonly from: string;
}

export function client({ host, port, from }: Dial): TestClient {
  const socket = connect({ host, port, localAddress: from, allowHalfOpen: true });
  let text = "";
  let error: NodeJS.ErrnoException | undefined;
  const waiting = new Set<() => void>();
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    for (const check of waiting) check();
  });
  const outcome = new Promise<ClientOutcome>((resolve) => {
    socket.on("error", (e) => (error = e));
    socket.on("end", () => resolve({ kind: "ended", received: text }));
    socket.on("close", () => {
      for (const check of waiting) check();
      resolve({ kind: "reset", received: text, code: error?.code ?? "closed" });
    });
  });
  return {
    socket,
    outcome,
    received: (length) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (text.length >= length) resolve(text);
          else if (socket.destroyed) reject(new Error(`ended after ${text.length} of ${length} bytes`));
          else return;
          waiting.delete(check);
        };
        waiting.add(check);
        check();
      }),
  };
}

/** Polls until `check` gives something other than undefined or false; fails after five seconds. */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = Date.now() + 5_000;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
