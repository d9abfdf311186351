import assert from "node:assert/strict";
import { test } from "node:test";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import { createLog, silentLogger } from "../runtime/log.ts";
import { createManualClock, type ManualClock, settle } from "../testing/manual-clock.ts";
import { CertificateManager } from "./cert-manager.ts";
import type { WorkloadCertificate } from "./certificate.ts";

const HOUR_MS = 3_600_000;

function identity(account: string): SpiffeId {
  return spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: account });
}

const WEB = identity("web");
const never = new AbortController().signal;

interface Ask {
  readonly identity: SpiffeId;
  readonly signal: AbortSignal;
  answer(given?: Partial<WorkloadCertificate>): Promise<void>;
  refuse(error: Error): Promise<void>;
}

/** A CA whose answers the test gives. */
function setUp(): { asks: Ask[]; clock: ManualClock; manager: CertificateManager } {
  const clock = createManualClock();
  const asks: Ask[] = [];
  let serial = 0;
  const issuer = {
    issue: (who: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> => {
      const { promise, resolve, reject } = Promise.withResolvers<WorkloadCertificate>();
      asks.push({
        identity: who,
        signal,
        answer: (given) => {
          const nowMs = clock.nowMs();
          const validity = { notBeforeMs: nowMs, notAfterMs: nowMs + 24 * HOUR_MS };
          const pems = { chainPem: "chain", keyPem: "SECRET", rootsPem: ["root"] };
          resolve({ identity: who, serial: String(++serial), ...pems, ...validity, ...given });
          return settle();
        },
        refuse: (error) => {
          reject(error);
          return settle();
        },
      });
      return promise;
    },
  };
  return {
    asks,
    clock,
    manager: new CertificateManager({ issuer, clock, log: silentLogger, random: () => 0.5 }),
  };
}

const away = new AmbitError("CA_UNAVAILABLE", "no route to the CA", { retryable: true });

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof AmbitError ? `${error.code}: ${error.message}` : String(error)),
  );
}

test("one request serves everybody who waits, and the next caller at once", async () => {
  const { asks, manager } = setUp();
  const waiting = [manager.fetch(WEB, "connection", never), manager.fetch(WEB, "warmup", never)];
  assert.deepEqual(manager.list(), [{ identity: WEB, state: { kind: "initializing" } }]);
  assert.equal(manager.current(WEB), undefined);
  await asks[0]?.answer();
  const serials = (await Promise.all(waiting)).map((certificate) => certificate.serial);
  assert.deepEqual([serials, asks.length], [["1", "1"], 1]);
  assert.equal((await manager.fetch(WEB, "connection", never)).serial, "1");
  assert.equal(asks.length, 1);
});

test("the list never shows a key", async () => {
  const { asks, manager } = setUp();
  const waiting = manager.fetch(WEB, "connection", never);
  await asks[0]?.answer();
  await waiting;
  const [entry] = manager.list();
  assert.equal(entry?.state.kind, "available");
  assert.ok(!JSON.stringify(manager.list()).includes("SECRET"));
});

test("logs never show a key", async () => {
  const lines: string[] = [];
  const { root } = createLog("identity", { level: "trace", write: (line) => lines.push(line) });
  const nowMs = 1000;
  const certificate = { identity: WEB, serial: "1", chainPem: "", keyPem: "SECRET", rootsPem: [] };
  const manager = new CertificateManager({
    issuer: { issue: () => Promise.resolve({ ...certificate, notBeforeMs: 0, notAfterMs: 10_000 }) },
    clock: createManualClock(nowMs),
    log: root,
  });
  await manager.fetch(WEB, "connection", never);
  assert.ok(lines.length === 1 && !lines.join("").includes("SECRET"));
});

test("at most eight requests are out; connections come before prefetches", async () => {
  const { asks, manager } = setUp();
  for (let i = 0; i < 12; i++) void manager.fetch(identity(`w${i}`), "warmup", never);
  assert.equal(asks.length, 8);
  void manager.fetch(identity("urgent"), "connection", never);
  void manager.fetch(identity("w11"), "connection", never);
  await asks[0]?.answer();
  await asks[1]?.answer();
  await asks[2]?.answer();
  const order = asks.slice(8).map((ask) => ask.identity);
  assert.deepEqual(order, [identity("w11"), identity("urgent"), identity("w8")]);
});

test("a certificate is renewed at half its life, on the wall clock, and the old one serves until then", async () => {
  const { asks, clock, manager } = setUp();
  const end = new AbortController();
  manager.start(end.signal);
  void manager.fetch(WEB, "connection", never);
  await asks[0]?.answer();
  await clock.advance(12 * HOUR_MS - 60_000);
  assert.equal(asks.length, 1);
  await clock.advance(120_000);
  assert.equal(asks.length, 2);
  assert.equal(manager.current(WEB)?.serial, "1");
  await asks[1]?.answer();
  assert.equal(manager.current(WEB)?.serial, "2");
  clock.jumpWall(13 * HOUR_MS);
  await clock.advance(60_000);
  assert.equal(asks.length, 3, "a clock that was set forward is noticed at the next tick");
  end.abort();
  assert.equal(clock.pending, 0);
});

test("certificates have lapsed when all that were there have expired, and not before there were any", async () => {
  const { asks, clock, manager } = setUp();
  void manager.fetch(WEB, "connection", never);
  assert.equal(manager.hasLapsed, false);
  await asks[0]?.answer();
  void manager.fetch(identity("late"), "connection", never);
  await asks[1]?.answer({ notAfterMs: clock.nowMs() + 30 * HOUR_MS });
  void manager.fetch(identity("never"), "connection", never);
  clock.jumpWall(25 * HOUR_MS);
  assert.equal(manager.hasLapsed, false, "one is valid");
  clock.jumpWall(6 * HOUR_MS);
  assert.equal(manager.hasLapsed, true);
  manager.forget(WEB);
  manager.forget(identity("late"));
  assert.equal(manager.hasLapsed, false);
});

test("while the CA is away the certificate stays in force, then connections are refused with the reason", async () => {
  const { asks, clock, manager } = setUp();
  const end = new AbortController();
  manager.start(end.signal);
  void manager.fetch(WEB, "connection", never);
  await asks[0]?.answer();
  await clock.advance(12 * HOUR_MS + 60_000);
  await asks[1]?.refuse(away);
  assert.equal(manager.current(WEB)?.serial, "1");
  assert.equal(manager.list()[0]?.state.kind, "available");
  await clock.advance(1_000);
  assert.equal(asks.length, 3, "the first retry comes after a second");
  await asks[2]?.refuse(away);
  clock.jumpWall(12 * HOUR_MS);
  assert.equal(manager.current(WEB), undefined);
  assert.deepEqual(manager.list()[0]?.state, {
    kind: "unavailable",
    error: "CA_UNAVAILABLE: no route to the CA",
  });
  const patience = new AbortController();
  const connection = codeOf(manager.fetch(WEB, "connection", patience.signal));
  patience.abort();
  assert.match(await connection, /^IDENTITY_UNAVAILABLE: .*web: CA_UNAVAILABLE: no route to the CA/);
  end.abort();
});

test("a connection that waits is served by the retry, and retries grow longer", async () => {
  const { asks, clock, manager } = setUp();
  const connection = manager.fetch(WEB, "connection", never);
  let delayMs = 1_000;
  for (let i = 0; i < 10; i++) {
    await asks[i]?.refuse(away);
    await clock.advance(delayMs - 1);
    assert.equal(asks.length, i + 1);
    await clock.advance(1);
    assert.equal(asks.length, i + 2);
    delayMs = Math.min(150_000, delayMs * 2);
  }
  void manager.fetch(WEB, "connection", never);
  await asks[10]?.answer();
  assert.equal((await connection).serial, "1");
});

test("a final refusal ends the wait at once", async () => {
  const { asks, manager } = setUp();
  const connection = codeOf(manager.fetch(WEB, "connection", never));
  await asks[0]?.refuse(new AmbitError("CA_REFUSED", "not on this node"));
  assert.equal(await connection, "CA_REFUSED: not on this node");
});

test("a retry is not hurried by more connections", async () => {
  const { asks, manager } = setUp();
  void codeOf(manager.fetch(WEB, "connection", never));
  await asks[0]?.refuse(away);
  for (let i = 0; i < 20; i++) void codeOf(manager.fetch(WEB, "connection", never));
  assert.equal(asks.length, 1);
});

test("a certificate that is not valid now, or not ours, is not taken", async () => {
  for (const wrong of [
    { notAfterMs: 0 },
    { notBeforeMs: Date.UTC(2027, 0, 1), notAfterMs: Date.UTC(2028, 0, 1) },
    { identity: identity("db") },
  ]) {
    const { asks, manager } = setUp();
    void codeOf(manager.fetch(WEB, "connection", never));
    await asks[0]?.answer(wrong);
    assert.equal(manager.current(WEB), undefined);
    assert.equal(manager.list()[0]?.state.kind, "unavailable");
  }
});

test("a bad renewal keeps the good certificate", async () => {
  const { asks, clock, manager } = setUp();
  const end = new AbortController();
  manager.start(end.signal);
  void manager.fetch(WEB, "connection", never);
  await asks[0]?.answer();
  await clock.advance(12 * HOUR_MS + 60_000);
  await asks[1]?.answer({ notAfterMs: 0 });
  assert.equal(manager.current(WEB)?.serial, "1");
  end.abort();
});

test("forgetting ends request, wait and retry, and drops the key", async () => {
  const { asks, clock, manager } = setUp();
  const connection = codeOf(manager.fetch(WEB, "connection", never));
  manager.forget(WEB);
  assert.match(await connection, /^IDENTITY_FORGOTTEN/);
  assert.ok(asks[0]?.signal.aborted);
  await asks[0]?.answer();
  assert.equal(manager.current(WEB), undefined);
  assert.deepEqual(manager.list(), []);
  void codeOf(manager.fetch(WEB, "warmup", never));
  await asks[1]?.refuse(away);
  manager.forget(WEB);
  assert.equal(clock.pending, 0);
  manager.forget(WEB);
});

test("an aborted wait does not stop the request for others", async () => {
  const { asks, manager } = setUp();
  const patience = new AbortController();
  const first = codeOf(manager.fetch(WEB, "connection", patience.signal));
  const second = manager.fetch(WEB, "connection", never);
  patience.abort();
  assert.match(await first, /IDENTITY_UNAVAILABLE.*has not answered yet/);
  await asks[0]?.answer();
  assert.equal((await second).serial, "1");
  assert.match(
    await codeOf(manager.fetch(identity("x"), "connection", patience.signal)),
    /IDENTITY_UNAVAILABLE/,
  );
});
