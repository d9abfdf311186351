/** Opens many connections, a few at a time. */
import { connectTcp, RawTcp, type TcpEvents } from "./raw-tcp.ts";

const PARALLEL = 16;

export interface Target {
  readonly ip: string;
  readonly port: number;
}

/** Rejects at the first connection that cannot be made. */
export function openOne(target: Target, events: TcpEvents): Promise<RawTcp> {
  return new Promise((resolve, reject) => {
    connectTcp(target, events, (result) => {
      if (result instanceof RawTcp) resolve(result);
      else reject(new Error(`connect to ${target.ip}:${target.port}: libuv error ${result}`));
    });
  });
}

/** `open` is called once per connection, `count` times in all. */
export async function openAll<T>(count: number, open: (index: number) => Promise<T>): Promise<readonly T[]> {
  const opened: T[] = [];
  for (let first = 0; first < count; first += PARALLEL) {
    const size = Math.min(PARALLEL, count - first);
    opened.push(...(await Promise.all(Array.from({ length: size }, (_, i) => open(first + i)))));
  }
  return opened;
}

/** Opens a connection and waits until one byte has come back on it. */
export async function openAndExchange(target: Target): Promise<RawTcp> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = await openOne(target, {
    onBytes: () => resolve(),
    onClosed: (error) => reject(new Error(`closed before the answer (${error})`)),
  });
  socket.write(1);
  await promise;
  return socket;
}
