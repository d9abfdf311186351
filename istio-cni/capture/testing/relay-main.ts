/**
 * Stands in for ztunnel in the kernel tests, and knows as little of capture as a foreign ztunnel would: it listens in
 * pods' namespaces and dials with its mark. Tunnelled bytes are XORed, so that clear text on the wire is a leak.
 * A process of its own, so that it can be killed. Arguments: JSON options. Commands over IPC.
 */
import net from "node:net";
import { Transform } from "node:stream";
import { openNetns, type Netns } from "#core/linux/netns.ts";
import { setSocketOption } from "#core/linux/socket-options.ts";
import { tcpListenerFd, tcpSocketFd } from "#core/linux/tcp-socket.ts";

export interface RelayOptions {
  readonly netnsNames: readonly string[];
  /** Dial destinations directly instead of through their relay. */
  readonly plain?: boolean;
  /** Listeners as a foreign ztunnel makes them. */
  readonly withoutReuseAddress?: boolean;
}

export type RelayCommand = "stop-listening" | "counts";

interface Counts {
  outbound: number;
  inbound: number;
  hbone: number;
}

const MARK = 0x539;
const counts: Counts = { outbound: 0, inbound: 0, hbone: 0 };
const servers: net.Server[] = [];

function main(): void {
  const options = JSON.parse(process.argv[2] ?? "{}") as RelayOptions;
  for (const name of options.netnsNames) serve(openNetns(`/run/netns/${name}`), options);
  process.on("disconnect", () => process.exit(0));
  process.on("message", (command: RelayCommand) => {
    if (command === "stop-listening") for (const server of servers) server.close();
    process.send?.(command === "counts" ? counts : "done");
  });
  process.send?.("ready");
}

function serve(netns: Netns, options: RelayOptions): void {
  const reuse = options.withoutReuseAddress !== true;
  const listen = (port: number, onConnection: (client: net.Socket) => void): void =>
    startServer(listenerFd(netns, port, reuse), onConnection);
  listen(15_006, (client) => {
    counts.inbound++;
    const { address, port } = local(client);
    relay(client, dial(netns, { address, port, source: unmap(client.remoteAddress) }), false);
  });
  listen(15_001, (client) => {
    counts.outbound++;
    const { address, port } = local(client);
    if (options.plain === true) return relay(client, dial(netns, { address, port }), false);
    const tunnel = dial(netns, { address, port: 15_008 });
    tunnel.write(`${address} ${port} ${unmap(client.remoteAddress)}\n`);
    return relay(client, tunnel, true);
  });
  listen(15_008, (client) => {
    counts.hbone++;
    readLine(client, (line) => {
      const [address = "", port = "", source = ""] = line.split(" ");
      relay(client, dial(netns, { address, port: Number(port), source }), true);
    });
  });
}

function listenerFd(netns: Netns, port: number, reuse: boolean): number {
  const fd = tcpListenerFd({ netns, port, mark: MARK, transparent: true, backlog: 512 });
  if (!reuse) setSocketOption(fd, "SO_REUSEADDR", 0);
  return fd;
}

function startServer(fd: number, onConnection: (client: net.Socket) => void): void {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    client.on("error", () => undefined);
    try {
      onConnection(client);
    } catch {
      client.resetAndDestroy();
    }
  });
  server.listen({ fd, backlog: 512 });
  servers.push(server);
}

interface Dial {
  readonly address: string;
  readonly port: number;
  readonly source?: string;
}

function dial(netns: Netns, to: Dial): net.Socket {
  const family = to.address.includes(":") ? 6 : 4;
  const foreign = to.source !== undefined && to.source !== to.address;
  const fd = tcpSocketFd({ netns, family, mark: MARK, ...(foreign ? { bindIp: to.source } : {}) });
  const options = { fd, allowHalfOpen: true, manualStart: true };
  return new net.Socket(options).connect({ host: to.address, port: to.port });
}

function relay(a: net.Socket, b: net.Socket, tunnelled: boolean): void {
  a.on("error", () => b.resetAndDestroy());
  b.on("error", () => a.resetAndDestroy());
  if (tunnelled) {
    a.pipe(scramble()).pipe(b);
    b.pipe(scramble()).pipe(a);
    return;
  }
  a.pipe(b);
  b.pipe(a);
}

function readLine(client: net.Socket, onLine: (line: string) => void): void {
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(10);
    if (end < 0) return;
    client.off("data", onData);
    client.pause();
    if (head.length > end + 1) client.unshift(head.subarray(end + 1));
    onLine(head.toString("latin1", 0, end));
  };
  client.on("data", onData);
}

function scramble(): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, Buffer.from(chunk.map((byte) => byte ^ 0x55)));
    },
  });
}

function local(client: net.Socket): { readonly address: string; readonly port: number } {
  return { address: unmap(client.localAddress), port: client.localPort ?? 0 };
}

function unmap(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:/, "");
}

main();
