/**
 * Announces pods to ztunnel (Istio's zds.proto over SOCK_SEQPACKET). Several ztunnels may be connected during an
 * upgrade: new pods go to the newest, deletions to all. One message in flight per connection; an answer that does not
 * come in time closes it, since answers carry no id and a late one would be taken for the next.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, systemClock } from "#core/base/clock.ts";
import { deadline } from "#core/base/abort.ts";
import {
  listenSeqpacket,
  type SeqpacketConnection,
  type SeqpacketListener,
} from "#core/linux/unix-seqpacket.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import {
  decodeZdsAck,
  decodeZdsHello,
  encodeZdsRequest,
  MAX_ZDS_MESSAGE_BYTES,
  type ZdsRequest,
} from "#core/wire/zds-codec.ts";
import type { RefusalCounts } from "./refusals.ts";

/** One ztunnel as the agent sees it. */
export interface ZtunnelPeer {
  readonly id: number;
  readonly pid: number;
}

export type ZdsAnswer =
  | { readonly kind: "acked" }
  /** ztunnel could not start the pod's listeners and keeps trying. */
  | { readonly kind: "failed"; readonly error: string }
  | { readonly kind: "no-ztunnel"; readonly error: string };

export interface SnapshotEntry {
  readonly request: ZdsRequest;
  readonly fd: number | undefined;
}

export interface ZdsServerDeps {
  readonly path: string;
  readonly log: Logger;
  readonly refusals: RefusalCounts;
  readonly clock?: Clock;
  /** Why this peer may not be told about pods; undefined when it is this node's ztunnel. */
  readonly judgePeer: (peer: SeqpacketConnection) => string | undefined;
  readonly snapshot: () => readonly SnapshotEntry[];
  /** The snapshot was sent and answered; `acked` holds the entries that ztunnel serves. */
  readonly onReady: (peer: ZtunnelPeer, acked: readonly SnapshotEntry[]) => void;
  readonly onGone: (peer: ZtunnelPeer, remaining: number) => void;
}

const ANSWER_TIMEOUT_MS = 5_000;
const ACCEPTS_PER_SECOND = 5;

interface Client {
  readonly peer: ZtunnelPeer;
  readonly connection: SeqpacketConnection;
  /** Tail of the chain that keeps one message in flight. */
  turn: Promise<unknown>;
}

/** At most `limit` in one second. */
class PerSecond {
  readonly #clock: Clock;
  readonly #limit: number;
  #windowStartMs = 0;
  #count = 0;

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  take(): boolean {
    const now = this.#clock.monotonicMs();
    if (now - this.#windowStartMs >= 1_000) {
      this.#windowStartMs = now;
      this.#count = 0;
    }
    this.#count++;
    return this.#count <= this.#limit;
  }
}

export class ZdsServer {
  readonly #deps: ZdsServerDeps;
  readonly #clock: Clock;
  readonly #clients: Client[] = [];
  #listener: SeqpacketListener | undefined;
  #nextId = 1;
  readonly #accepts: PerSecond;
  readonly #refusalLines: PerSecond;

  constructor(deps: ZdsServerDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.#accepts = new PerSecond(this.#clock, ACCEPTS_PER_SECOND);
    this.#refusalLines = new PerSecond(this.#clock, ACCEPTS_PER_SECOND);
  }

  listen(): void {
    const directory = dirname(this.#deps.path);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700); // the kubelet makes it for everybody
    const options = { path: this.#deps.path, maxBytes: MAX_ZDS_MESSAGE_BYTES };
    this.#listener = listenSeqpacket(options, (connection) => this.#accept(connection));
  }

  close(): void {
    this.#listener?.close();
    for (const client of this.#clients.splice(0)) client.connection.close();
  }

  get connected(): number {
    return this.#clients.length;
  }

  newest(): ZtunnelPeer | undefined {
    return this.#clients.at(-1)?.peer;
  }

  /** To the newest ztunnel; resolves with its answer. */
  async add(request: ZdsRequest, fd: number): Promise<ZdsAnswer> {
    const client = this.#clients.at(-1);
    if (client === undefined) return { kind: "no-ztunnel", error: "no ztunnel is connected on this node" };
    return this.#exchange(client, request, fd);
  }

  /** To every ztunnel; resolves when all answered or are gone. */
  async broadcast(request: ZdsRequest): Promise<void> {
    await Promise.all(this.#clients.map((client) => this.#exchange(client, request, undefined)));
  }

  #accept(connection: SeqpacketConnection): void {
    // Strangers are judged first: however often they knock, they use up nothing that ztunnel needs.
    const stranger = this.#deps.judgePeer(connection);
    const refusal = stranger ?? (this.#accepts.take() ? undefined : "too many connections in one second");
    if (refusal !== undefined) {
      if (this.#refusalLines.take())
        this.#deps.log.warn(
          { pid: connection.peer.pid, uid: connection.peer.uid, reason: refusal },
          "zds client refused",
        );
      this.#deps.refusals.count("zds-client");
      connection.close();
      return;
    }
    spawn(this.#deps.log, "zds-client", () => this.#serve(connection));
  }

  async #serve(connection: SeqpacketConnection): Promise<void> {
    const client: Client = {
      peer: { id: this.#nextId++, pid: connection.peer.pid },
      connection,
      turn: Promise.resolve(),
    };
    const { log } = this.#deps;
    let joined = false;
    try {
      await this.#hello(client);
      const acked = await this.#sendSnapshot(client, () => {
        this.#clients.push(client);
        joined = true;
      });
      log.info({ pid: client.peer.pid, pods: acked.length }, "ztunnel connected");
      this.#deps.onReady(client.peer, acked);
      await this.#untilGone(client);
    } catch (error) {
      log.warn({ pid: client.peer.pid, error: describeError(error) }, "ztunnel connection ended");
      this.#deps.refusals.count("zds-protocol");
    } finally {
      connection.close();
      const at = this.#clients.indexOf(client);
      if (at >= 0) this.#clients.splice(at, 1);
      if (joined) this.#deps.onGone(client.peer, this.#clients.length);
    }
  }

  async #hello(client: Client): Promise<void> {
    const message = await client.connection.receive(deadline(ANSWER_TIMEOUT_MS));
    const hello = message === undefined ? undefined : decodeZdsHello(message.bytes);
    if (hello?.ok !== true)
      throw new AmbitError("ZDS_NO_HELLO", "the first message is not a hello of version 1");
  }

  /** `join` runs in the turn in which the snapshot is taken, so that no pod falls between snapshot and live messages. */
  async #sendSnapshot(client: Client, join: () => void): Promise<readonly SnapshotEntry[]> {
    const entries = this.#deps.snapshot();
    const answers = entries.map((entry) => this.#exchange(client, entry.request, entry.fd));
    const sent = this.#exchange(client, { kind: "snapshot-sent" }, undefined);
    join();
    const results = await Promise.all(answers);
    if ((await sent).kind !== "acked")
      throw new AmbitError("ZDS_SNAPSHOT_REFUSED", "ztunnel did not accept the snapshot");
    return entries.filter((_, i) => results[i]?.kind === "acked");
  }

  #exchange(client: Client, request: ZdsRequest, fd: number | undefined): Promise<ZdsAnswer> {
    const answer = client.turn.then(() => this.#exchangeNow(client, request, fd));
    client.turn = answer;
    return answer;
  }

  async #exchangeNow(client: Client, request: ZdsRequest, fd: number | undefined): Promise<ZdsAnswer> {
    if (client.connection.closed) return { kind: "no-ztunnel", error: "ztunnel disconnected" };
    try {
      const signal = deadline(ANSWER_TIMEOUT_MS);
      await client.connection.send(encodeZdsRequest(request), fd === undefined ? [] : [fd], signal);
      const message = await client.connection.receive(signal);
      const ack = message === undefined ? undefined : decodeZdsAck(message.bytes);
      if (ack?.ok !== true)
        throw new AmbitError("ZDS_BAD_ANSWER", "ztunnel's answer is not an acknowledgement");
      return ack.value.error === "" ? { kind: "acked" } : { kind: "failed", error: ack.value.error };
    } catch (error) {
      client.connection.close();
      return { kind: "no-ztunnel", error: describeError(error) };
    }
  }

  /** Between exchanges nothing may arrive: bytes are a protocol error, the end is the end. */
  async #untilGone(client: Client): Promise<void> {
    while (!client.connection.closed) {
      await client.turn;
      await this.#clock.sleep(IDLE_CHECK_MS);
      const check = client.turn.then(() => checkIdle(client.connection));
      client.turn = check.catch(() => undefined);
      await check;
    }
  }
}

const IDLE_CHECK_MS = 500;
const IDLE_READ_MS = 10;

async function checkIdle(connection: SeqpacketConnection): Promise<void> {
  if (connection.closed) return;
  const nothing = Symbol("nothing");
  const message = await connection.receive(AbortSignal.timeout(IDLE_READ_MS)).catch((error: unknown) => {
    if (error instanceof Error && error.name === "TimeoutError") return nothing;
    throw error;
  });
  if (message === nothing) return;
  connection.close();
  if (message !== undefined) throw new AmbitError("ZDS_UNEXPECTED", "ztunnel spoke without being asked");
}
