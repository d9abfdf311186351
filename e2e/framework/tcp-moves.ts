/** What hands do in pods with connections. Each function is sent as text: it may use its arguments alone, and no function of this file. */
import type { Hands } from "./hands.ts";

export type CallResult =
  | { readonly kind: "ok"; readonly reply: string; readonly local: string; readonly remote: string }
  | { readonly kind: "failed"; readonly code: string };

/** A server that answers `e:<text>`; the addresses of its callers go to `notes[name]`. */
export function serveEcho(world: Hands, name: string, port: number): Promise<void> {
  const peers: string[] = [];
  world.notes[name] = peers;
  const server = world.net.createServer({ allowHalfOpen: true }, (socket) => {
    peers.push((socket.remoteAddress ?? "").replace(/^::ffff:/, ""));
    world.sockets[`${name}#${peers.length}`] = socket;
    socket.on("data", (bytes) => socket.write(`e:${bytes.toString()}`));
    socket.on("end", () => socket.end());
    socket.on("error", () => undefined);
  });
  world.servers[name] = server;
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen({ port, host: "::" }, () => resolve());
  });
}

/** Addresses of those who called this server. */
export function callersOf(world: Hands, name: string): readonly string[] {
  return world.notes[name] ?? [];
}

/** Connects, says `text`, waits for the answer and for the end. */
export function call(world: Hands, host: string, port: number, text: string): Promise<CallResult> {
  return new Promise((resolve) => {
    const socket = world.net.connect({ host, port, timeout: 15_000 });
    let reply = "";
    const ends = { local: "", remote: "" };
    socket.on("connect", () => {
      ends.local = socket.localAddress ?? "";
      ends.remote = socket.remoteAddress ?? "";
      socket.write(text);
    });
    socket.on("data", (bytes) => {
      reply += bytes.toString();
      if (reply.length >= text.length + 2) socket.end();
    });
    socket.on("timeout", () => socket.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      resolve({ kind: "failed", code: error.code ?? error.message }),
    );
    socket.on("close", () =>
      resolve(reply === "" ? { kind: "failed", code: "EOF" } : { kind: "ok", reply, ...ends }),
    );
  });
}

/** Opens a connection that stays, under a name. */
export function open(
  world: Hands,
  name: string,
  host: string,
  port: number,
): Promise<{ local: string; localPort: number }> {
  return new Promise((resolve, reject) => {
    const socket = world.net.connect({ host, port });
    const said: string[] = [];
    world.notes[name] = said;
    world.sockets[name] = socket;
    socket.once("error", reject);
    socket.on("connect", () => {
      socket.off("error", reject);
      socket.on("error", (error: NodeJS.ErrnoException) => said.push(`error ${error.code ?? error.message}`));
      socket.on("close", () => said.push("closed"));
      resolve({ local: socket.localAddress ?? "", localPort: socket.localPort ?? 0 });
    });
  });
}

/** Like `open`, for an application that keeps its half open when the other one ends, and does not look. */
export function openStubborn(world: Hands, name: string, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = world.net.connect({ host, port, allowHalfOpen: true });
    world.notes[name] = [];
    world.sockets[name] = socket;
    socket.once("error", reject);
    socket.on("connect", () => {
      socket.off("error", reject);
      socket.on("error", (error: NodeJS.ErrnoException) =>
        world.notes[name]?.push(`error ${error.code ?? ""}`),
      );
      socket.pause();
      resolve();
    });
  });
}

/** Writes without waiting for anything; false when the socket is already known to be dead. */
export function blurt(world: Hands, name: string, text: string): boolean {
  const socket = world.sockets[name];
  return socket !== undefined && !socket.destroyed && (socket.write(text), true);
}

/** Says `text` on a connection opened before and gives the answer. */
export function ask(world: Hands, name: string, text: string): Promise<string> {
  const socket = world.sockets[name];
  if (socket === undefined) throw new Error(`no connection ${name}`);
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(Object.assign(new Error(`${name} ended`), { code: "ENDED" }));
    if (socket.destroyed) return ended();
    socket.once("close", ended);
    socket.once("data", (bytes) => {
      socket.off("close", ended);
      resolve(bytes.toString());
    });
    socket.write(text);
  });
}

/** How a connection ended: `error CODE` or `closed`; waits for it. */
export async function endOf(world: Hands, name: string): Promise<string> {
  for (let i = 0; i < 600; i++) {
    const [first] = world.notes[name] ?? [];
    if (first !== undefined) return first;
    await world.sleep(25);
  }
  throw new Error(`${name} is still open`);
}

export function hangUp(world: Hands, name: string): void {
  world.sockets[name]?.destroy();
}

/** `count` calls, one every `everyMs`, not waiting for each other; gives the outcomes as `ok` or the error's code. */
export async function callMany(
  world: Hands,
  host: string,
  port: number,
  text: string,
  count: number,
  everyMs: number,
): Promise<readonly string[]> {
  const one = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = world.net.connect({ host, port, timeout: 15_000 });
      let reply = "";
      socket.on("connect", () => socket.write(text));
      socket.on("data", (bytes) => {
        reply += bytes.toString();
        if (reply === `e:${text}`) socket.end();
      });
      socket.on("timeout", () => socket.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.on("close", () => resolve(reply === `e:${text}` ? "ok" : "EOF"));
    });
  const calls: Promise<string>[] = [];
  for (let i = 0; i < count; i++) {
    calls.push(one());
    await world.sleep(everyMs);
  }
  return Promise.all(calls);
}

/** Writes bytes and gives what came back until the end, as Latin-1. */
export function tell(world: Hands, host: string, port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = world.net.connect({ host, port });
    let heard = "";
    socket.setTimeout(8_000, () => socket.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
    socket.on("connect", () => socket.write(text));
    socket.on("data", (bytes) => (heard += bytes.toString("latin1")));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`${heard}|${error.code ?? error.message}`));
    socket.on("close", () => resolve(`${heard}|end`));
  });
}

/** Stops a server; its connections stay. */
export function stopServing(world: Hands, name: string): void {
  world.servers[name]?.close();
}
