/**
 * The connection to the node agent: hello, then every message is done and answered before the next one is read.
 * Lost or broken connections are made again; pods keep being served meanwhile.
 */
import { closeSync } from "node:fs";
import { createBackoff } from "#core/base/backoff.ts";
import { deadline } from "#core/base/abort.ts";
import type { Clock } from "#core/base/clock.ts";
import { describeProblems } from "#core/base/parse-result.ts";
import { connectSeqpacket, type SeqpacketConnection } from "#core/linux/unix-seqpacket.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import {
  decodeZdsRequest,
  encodeZdsAck,
  encodeZdsHello,
  MAX_ZDS_MESSAGE_BYTES,
} from "#core/wire/zds-codec.ts";
import { NEW_SESSION, onZdsMessage, type ZdsSessionState, type ZdsStep } from "./zds-session.ts";

const SEND_TIMEOUT_MS = 5_000;

/** What pod announcements do. Resolves when done; a rejection becomes the error of the answer, and is retried later. */
export interface PodTarget {
  apply(step: ZdsStep): Promise<void>;
  /** The agent is (not) heard; true only after a complete snapshot. */
  setSynced(synced: boolean): void;
}

export interface ZdsClientDeps {
  readonly target: PodTarget;
  readonly clock: Clock;
  readonly log: Logger;
}

type FdMessage = NonNullable<Awaited<ReturnType<SeqpacketConnection["receive"]>>>;

/** Connects, and connects again, until the signal fires. */
export async function runZdsClient(deps: ZdsClientDeps, path: string, signal: AbortSignal): Promise<void> {
  const backoff = createBackoff({ firstMs: 20, maxMs: 15_000 });
  while (!signal.aborted) {
    try {
      await oneConnection(deps, path, signal, backoff.reset);
    } catch (error) {
      if (signal.aborted) return;
      deps.log.warn({ path, error: describeError(error) }, "node agent connection ended");
    }
    deps.target.setSynced(false);
    await deps.clock.sleep(backoff.next(), signal).catch(() => undefined);
  }
}

async function oneConnection(
  deps: ZdsClientDeps,
  path: string,
  signal: AbortSignal,
  onGreeted: () => void,
): Promise<void> {
  const connection = await connectSeqpacket(path, { maxBytes: MAX_ZDS_MESSAGE_BYTES, maxFds: 2 });
  try {
    await connection.send(encodeZdsHello(), [], deadline(SEND_TIMEOUT_MS, signal));
    deps.log.info({ path }, "node agent connected");
    let state: ZdsSessionState = NEW_SESSION;
    for (;;) {
      const message = await connection.receive(signal);
      if (message === undefined) throw new Error("the node agent closed the connection");
      onGreeted();
      state = await answer(deps, connection, state, message);
    }
  } finally {
    connection.close();
  }
}

/** Does what one packet says and acknowledges it. Throws after a protocol violation. */
async function answer(
  deps: ZdsClientDeps,
  connection: SeqpacketConnection,
  state: ZdsSessionState,
  { bytes, fds }: FdMessage,
): Promise<ZdsSessionState> {
  const decoded = decodeZdsRequest(bytes);
  const outcome = decoded.ok
    ? onZdsMessage(state, decoded.value, fds)
    : { kind: "violation" as const, error: describeProblems(decoded.problems) };
  if (outcome.kind === "violation") {
    for (const fd of fds) closeSync(fd);
    await sendAck(connection, outcome.error);
    throw new Error(`node agent broke the protocol: ${outcome.error}`);
  }
  const error = outcome.step === undefined ? "" : await attempt(deps, outcome.step);
  if (outcome.step?.kind === "retain") deps.target.setSynced(true);
  await sendAck(connection, error);
  return outcome.state;
}

async function attempt(deps: ZdsClientDeps, step: ZdsStep): Promise<string> {
  try {
    await deps.target.apply(step);
    return "";
  } catch (error) {
    return describeError(error).slice(0, MAX_ZDS_MESSAGE_BYTES / 2);
  }
}

function sendAck(connection: SeqpacketConnection, error: string): Promise<void> {
  return connection.send(encodeZdsAck({ error }), [], deadline(SEND_TIMEOUT_MS));
}
