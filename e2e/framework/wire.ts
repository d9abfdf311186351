/**
 * Watches the link between the nodes: which TCP connections there are, which text is readable, which TLS version was
 * agreed. A claim that nothing is readable counts only after the same capture has read something.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { openNetns } from "#core/linux/netns.ts";
import { capturePackets, type PacketCapture } from "#core/linux/packet-capture.ts";
import type { IpAddress } from "#core/net/ip.ts";
import { readTcpSegment, type TcpSegment } from "./tcp-frame.ts";
import { readServerHello, type ServerHello } from "./tls-hello.ts";

/** One TCP connection as seen on the link, named by who opened it. */
export interface WireConnection {
  readonly client: string;
  readonly server: string;
  readonly serverPort: number;
  readonly clientIp: IpAddress;
  readonly serverIp: IpAddress;
  /** Milliseconds (monotonic) of the SYN; undefined when it was opened before the capture began. */
  readonly openedMs: number | undefined;
  readonly hello: ServerHello;
}

interface Tracked {
  readonly clientIp: IpAddress;
  readonly serverIp: IpAddress;
  readonly clientPort: number;
  readonly serverPort: number;
  readonly openedMs: number | undefined;
  serverBytes: Buffer;
}

interface Sighting {
  readonly atMs: number;
  readonly payload: Buffer;
}

const HELLO_BYTES = 2_048;
const KEPT_SIGHTINGS = 400_000;

export class Wire {
  readonly #capture: PacketCapture;
  readonly #connections = new Map<string, Tracked>();
  #payloads: Sighting[] = [];
  #overflowed = false;

  /** `netnsPath` and `device`: where the link is. */
  constructor(netnsPath: string, device: string) {
    const netns = openNetns(netnsPath);
    this.#capture = capturePackets({ netns, device }, (frame) => this.#see(frame));
    netns.close();
  }

  /** Frames since `sinceMs` whose payload contains `text`. */
  countText(text: string, sinceMs = 0): number {
    return this.#payloads.filter((s) => s.atMs >= sinceMs && s.payload.includes(text)).length;
  }

  /** The first readable line with `text`, for people. */
  sampleText(text: string): string | undefined {
    const found = this.#payloads.find((s) => s.payload.includes(text));
    return found?.payload.toString("latin1").split("\r\n")[0];
  }

  connections(): readonly WireConnection[] {
    return [...this.#connections.values()].map((c) => ({
      client: `${c.clientIp} ${c.clientPort}`,
      server: `${c.serverIp} ${c.serverPort}`,
      serverPort: c.serverPort,
      clientIp: c.clientIp,
      serverIp: c.serverIp,
      openedMs: c.openedMs,
      hello: readServerHello(c.serverBytes),
    }));
  }

  /** Waits until frames in flight have been seen; throws when any was lost, here or in the kernel. */
  async settle(): Promise<void> {
    await sleep(200);
    if (this.#capture.dropped() > 0) throw new Error("the capture lost frames, so it proves nothing");
    if (this.#overflowed)
      throw new Error(`more than ${KEPT_SIGHTINGS} frames were not forgotten: later ones were not looked at`);
  }

  /** Forgets payloads (connections stay known). */
  forget(): void {
    this.#payloads = [];
    this.#overflowed = false;
  }

  close(): void {
    this.#capture.close();
  }

  #see(frame: Buffer): void {
    const segment = readTcpSegment(frame);
    if (segment === undefined) return;
    const connection = this.#connectionOf(segment);
    if (segment.payload.length === 0) return;
    if (this.#payloads.length < KEPT_SIGHTINGS)
      this.#payloads.push({ atMs: performance.now(), payload: segment.payload });
    else this.#overflowed = true;
    const fromServer = segment.source === connection.serverIp && segment.sourcePort === connection.serverPort;
    if (fromServer && connection.serverBytes.length < HELLO_BYTES) {
      connection.serverBytes = Buffer.concat([
        connection.serverBytes,
        segment.payload.subarray(0, HELLO_BYTES),
      ]);
    }
  }

  #connectionOf(segment: TcpSegment): Tracked {
    const there = `${segment.source} ${segment.sourcePort} ${segment.destination} ${segment.destinationPort}`;
    const back = `${segment.destination} ${segment.destinationPort} ${segment.source} ${segment.sourcePort}`;
    const opening = segment.syn && !segment.ack;
    const known = opening ? undefined : (this.#connections.get(there) ?? this.#connections.get(back));
    if (known !== undefined) return known;
    const toServer = opening || segment.sourcePort > segment.destinationPort;
    const tracked: Tracked = {
      clientIp: toServer ? segment.source : segment.destination,
      serverIp: toServer ? segment.destination : segment.source,
      clientPort: toServer ? segment.sourcePort : segment.destinationPort,
      serverPort: toServer ? segment.destinationPort : segment.sourcePort,
      openedMs: opening ? performance.now() : undefined,
      serverBytes: Buffer.alloc(0),
    };
    this.#connections.set(toServer ? there : back, tracked);
    return tracked;
  }
}
