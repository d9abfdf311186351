/** What hands do in pods with calls that go on, and with protocols beside HTTP/1.1 (sent as text, see `hands.ts`). */
import type * as TalkClient from "#local/samples/talk-client.ts";
import type { Hands } from "./hands.ts";

/** One unary gRPC call, by the library that people use. */
export async function grpcSay(
  world: Hands,
  address: string,
  text: string,
  path?: string,
): Promise<TalkClient.GrpcOutcome> {
  const { say } = (await world.load("sample-talk-client")) as typeof TalkClient;
  return say(address, text, path);
}

/** A gRPC call that streams; what happens on it goes to `notes[name]`: `message 1` ... `end 0`. */
export async function grpcWatch(
  world: Hands,
  name: string,
  address: string,
  ask: { readonly count: number; readonly everyMs: number },
): Promise<void> {
  const { watch } = (await world.load("sample-talk-client")) as typeof TalkClient;
  const said: string[] = [];
  world.notes[name] = said;
  world.calls[name] = watch(address, ask, (event) => said.push(event));
}

/** A WebSocket that stays; what happens on it goes to `notes[name]`: `open`, `message TEXT`, `end CODE`. */
export function webSocket(world: Hands, name: string, url: string): void {
  const said: string[] = [];
  world.notes[name] = said;
  const socket = new WebSocket(url);
  socket.addEventListener("open", () => said.push("open"));
  socket.addEventListener("message", (event) => said.push(`message ${String(event.data)}`));
  socket.addEventListener("close", (event) => said.push(`end ${event.code}`));
  world.calls[name] = { cancel: () => socket.close(), say: (text) => socket.send(text) };
}

/** Sends on a WebSocket of before. */
export function webSocketSay(world: Hands, name: string, text: string): void {
  world.calls[name]?.say?.(text);
}

/** What has happened so far on a call that goes on. */
export function eventsOf(world: Hands, name: string): readonly string[] {
  return world.notes[name] ?? [];
}

export function cancel(world: Hands, name: string): void {
  world.calls[name]?.cancel();
}

/** One request by HTTP/2 without an upgrade, in clear. */
export function h2Request(
  world: Hands,
  url: string,
  method: string,
  path: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const session = world.http2.connect(url);
    const done = (end: () => void): void => {
      session.close();
      end();
    };
    session.on("error", reject);
    const stream = session.request({ ":method": method, ":path": path });
    let status = 0;
    let body = "";
    stream.on("response", (headers) => (status = Number(headers[":status"])));
    stream.on("data", (bytes: Buffer) => (body += bytes.toString()));
    stream.on("end", () => done(() => resolve({ status, body })));
    stream.on("error", (error) => done(() => reject(error)));
    stream.end();
  });
}

/** Begins a stream every `everyMs`, until `cancel`; how each ended goes to `notes[name]`: `end 0 after 40`. */
export async function grpcStreams(
  world: Hands,
  name: string,
  address: string,
  {
    everyMs,
    count,
    messageMs,
  }: { readonly everyMs: number; readonly count: number; readonly messageMs: number },
): Promise<void> {
  const { watch } = (await world.load("sample-talk-client")) as typeof TalkClient;
  const ends: string[] = [];
  world.notes[name] = ends;
  let begun = 0;
  const timer = setInterval(() => {
    let heard = 0;
    begun++;
    watch(address, { count, everyMs: messageMs }, (event) => {
      if (event.startsWith("message")) heard++;
      else ends.push(`${event} after ${heard}`);
    });
  }, everyMs);
  world.calls[name] = {
    cancel: () => {
      clearInterval(timer);
      ends.push(`begun ${begun}`);
    },
  };
}
