import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import { ip } from "../net/ip.ts";
import {
  clientCertificate,
  connectTo,
  dialDeps,
  hboneFixture,
  serverCertificate,
} from "../testing/hbone-fixture.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { testIdentity } from "../testing/tls-identities.ts";
import { HbonePool, type HboneClientStream, type HbonePoolKey } from "./hbone-pool.ts";
import type { StreamLoss } from "./hbone-stream.ts";

const LOOPBACK = ip("127.0.0.1");
const APP = { ip: LOOPBACK, port: 80 };

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`pool: ${wanted}`, () => {
    it("opens the next tunnel at 100 streams, one dial at a time", async () => {
      const mesh = await hboneFixture({ backend, onConnect: (request) => void request.accept() });
      const streams = await Promise.all(Array.from({ length: 250 }, () => mesh.open(APP)));
      await Promise.all(streams.map(answered));
      assert.deepEqual(
        mesh.pool
          .tunnels()
          .map((tunnel) => tunnel.streams)
          .toSorted((x, y) => x - y),
        [50, 100, 100],
      );
      assert.equal(mesh.connections.length, 3);
      for (const stream of streams) stream.reset();
      await mesh.close();
    });

    for (const status of [400, 401, 503] as const) {
      it(`reports status ${status}`, async () => {
        const mesh = await hboneFixture({ backend, onConnect: (request) => request.refuse(status) });
        assert.deepEqual(await loss(await mesh.open(APP)), { kind: "refused", status });
        await mesh.close();
      });
    }

    it("shows the server who asks for what", async () => {
      const seen = Promise.withResolvers<unknown[]>();
      const mesh = await hboneFixture({
        backend,
        onConnect: (request) => {
          const { peerIdentity, peerCertificateSerial, authority, source, baggage, forwarded, traceparent } =
            request;
          seen.resolve([
            peerIdentity,
            peerCertificateSerial,
            authority,
            source.ip,
            baggage,
            forwarded,
            traceparent,
          ]);
          request.accept([["baggage", "service.name=catalog"]]);
        },
      });
      const request = {
        ...connectTo(APP),
        baggage: "service.name=web",
        forwarded: 'for="10.0.0.1:5"',
        traceparent: "00-a",
      };
      const stream = await mesh.pool.connect(mesh.key, request, mesh.deps, AbortSignal.timeout(5_000));
      await answered(stream);
      const { identity, serial } = clientCertificate;
      const target = { kind: "address", address: APP };
      assert.deepEqual(await seen.promise, [
        identity,
        serial,
        target,
        LOOPBACK,
        "service.name=web",
        'for="10.0.0.1:5"',
        "00-a",
      ]);
      assert.equal(stream.responseBaggage, "service.name=catalog");
      assert.deepEqual(
        [stream.peerIdentity, stream.peerCertificateSerial],
        [serverCertificate.identity, serverCertificate.serial],
      );
      stream.reset();
      await mesh.close();
    });

    it("refuses a peer of another identity, and everyone when none is expected", async () => {
      const mesh = await hboneFixture({ backend, onConnect: (request) => request.refuse(503) });
      for (const expectedIdentities of [[testIdentity("other")], []]) {
        const key: HbonePoolKey = { ...mesh.key, expectedIdentities };
        const dial = mesh.pool.connect(
          key,
          connectTo(APP),
          dialDeps(backend, key),
          AbortSignal.timeout(5_000),
        );
        await assert.rejects(dial, { code: "HBONE_PEER_REFUSED" });
      }
      await mesh.close();
    });

    it("fails all who wait when the dial fails, and says why", async () => {
      const pool = new HbonePool({ backend });
      const key: HbonePoolKey = {
        sourceIdentity: clientCertificate.identity,
        sourceIp: LOOPBACK,
        expectedIdentities: [serverCertificate.identity],
        destination: { ip: LOOPBACK, port: 1 },
      };
      const dials = Array.from({ length: 5 }, () =>
        pool.connect(key, connectTo(APP), dialDeps(backend, key), AbortSignal.timeout(5_000)),
      );
      for (const result of await Promise.allSettled(dials)) {
        assert.equal(
          result.status === "rejected" && (result.reason as { code: string }).code,
          "HBONE_CONNECT_FAILED",
        );
      }
      assert.deepEqual(pool.tunnels(), []);
    });

    it("never shares a tunnel between two source addresses, and replaces it when the certificate changes", async () => {
      const mesh = await hboneFixture({ backend, onConnect: (request) => void request.accept() });
      const first = await mesh.open(APP);
      const key = { ...mesh.key, sourceIp: ip("127.0.0.9") };
      const second = await mesh.pool.connect(key, connectTo(APP), mesh.deps, AbortSignal.timeout(5_000));
      await Promise.all([answered(first), answered(second)]);
      assert.equal(mesh.connections.length, 2);
      const renewed = { ...mesh.deps, credentials: () => ({ ...mesh.deps.credentials(), serial: "new" }) };
      const third = await mesh.pool.connect(mesh.key, connectTo(APP), renewed, AbortSignal.timeout(5_000));
      await answered(third);
      assert.equal(mesh.connections.length, 3);
      for (const stream of [first, second, third]) stream.reset();
      await mesh.close();
    });

    it("resets an unanswered request after 10 s and releases an idle tunnel after 5 min", async () => {
      const clock = createManualClock();
      const mesh = await hboneFixture({ backend, onConnect: () => undefined, pool: { clock } });
      const stream = await mesh.open(APP);
      const lost = loss(stream);
      await clock.advance(10_000);
      const result = await lost;
      assert.equal(
        result.kind === "tunnel-lost" && (result.error as { code?: string }).code,
        "HBONE_NO_ANSWER",
      );
      assert.equal(mesh.pool.tunnels().length, 1);
      await advanceUntil(clock, () => mesh.pool.tunnels().length === 0);
      await mesh.close();
    });

    it("repeats a refused request with its early bytes elsewhere", async () => {
      const got: string[] = [];
      let refusals = 0;
      const peer = await nodeServer(backend, (stream) => {
        if (refusals++ === 0) {
          stream.close(7);
          return;
        }
        stream.respond({ ":status": 200 });
        stream.on("data", (chunk: Buffer) => got.push(chunk.toString()));
        stream.on("end", () => stream.end(`got ${got.join("")}`));
      });
      const stream = await peer.open();
      const answer = collect(stream);
      stream.write(Buffer.from("early "));
      stream.write(Buffer.from("bytes"));
      stream.end();
      assert.equal(await answer, "got early bytes");
      assert.equal(refusals, 2);
      await peer.close();
    });

    it("gives a peer that allows few streams more tunnels, and up on one that allows none", async () => {
      const open = new Set<ServerHttp2Stream>();
      const few = await nodeServer(
        backend,
        (stream) => void open.add(stream.respond({ ":status": 200 }) as never),
        5,
      );
      const streams = await Promise.all(Array.from({ length: 12 }, () => few.open()));
      await Promise.all(streams.map(answered));
      assert.deepEqual(
        few.pool
          .tunnels()
          .map((tunnel) => tunnel.streams)
          .toSorted((x, y) => x - y),
        [2, 5, 5],
      );
      for (const stream of streams) stream.reset();
      await few.close();
      const clock = createManualClock();
      const none = await nodeServer(backend, () => undefined, 0, clock);
      const dial = none.open();
      dial.catch(() => undefined);
      await once(none.server, "session");
      await advanceUntil(clock, () => none.pool.tunnels().length === 1);
      await clock.advance(10_000);
      await assert.rejects(dial, { code: "HBONE_NO_CAPACITY" });
      await none.close();
    });
  });
}

interface NodePeer {
  readonly pool: HbonePool;
  readonly server: Http2SecureServer;
  open(): Promise<HboneClientStream>;
  close(): Promise<void>;
}

/** node:http2 as the serving end. */
async function nodeServer(
  backend: HandleBackend,
  onStream: (stream: ServerHttp2Stream) => void,
  maxConcurrentStreams = 100,
  clock?: ReturnType<typeof createManualClock>,
): Promise<NodePeer> {
  const { chainPem, keyPem, rootsPem } = serverCertificate;
  const server = createSecureServer({
    cert: chainPem,
    key: keyPem,
    ca: [...rootsPem],
    requestCert: true,
    settings: { maxConcurrentStreams },
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    onStream(stream);
  });
  server.on("session", (session) => session.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const pool = new HbonePool({ backend, ...(clock === undefined ? {} : { clock }) });
  const key: HbonePoolKey = {
    sourceIdentity: clientCertificate.identity,
    sourceIp: LOOPBACK,
    expectedIdentities: [serverCertificate.identity],
    destination: { ip: LOOPBACK, port: (server.address() as AddressInfo).port },
  };
  return {
    pool,
    server,
    open: () => pool.connect(key, connectTo(APP), dialDeps(backend, key), AbortSignal.timeout(10_000)),
    close: async () => {
      await pool.close();
      server.close();
    },
  };
}

function listen(
  stream: HboneClientStream,
  events: {
    open?: () => void;
    data?: (bytes: Buffer) => void;
    end?: () => void;
    lost?: (loss: StreamLoss) => void;
  },
): void {
  stream.start({
    onTunnelOpen: () => events.open?.(),
    onTunnelData: (pieces) => {
      events.data?.(Buffer.concat(pieces));
      return "consumed";
    },
    onTunnelEnd: () => events.end?.(),
    onTunnelWritable: () => undefined,
    onTunnelLoss: (lost) => events.lost?.(lost),
  });
}

function answered(stream: HboneClientStream): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.isOpen) resolve();
    else listen(stream, { open: resolve, lost: (lost) => reject(new Error(JSON.stringify(lost))) });
  });
}

function loss(stream: HboneClientStream): Promise<StreamLoss> {
  return new Promise((lost) => listen(stream, { lost }));
}

function collect(stream: HboneClientStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    listen(stream, {
      data: (bytes) => {
        text += bytes.toString();
      },
      end: () => resolve(text),
      lost: (lost) => reject(new Error(JSON.stringify(lost))),
    });
  });
}

/** Sockets run in real time beside the manual clock: let both go on. */
async function advanceUntil(
  clock: ReturnType<typeof createManualClock>,
  condition: () => boolean,
): Promise<void> {
  for (let i = 0; i < 200 && !condition(); i++) {
    await clock.advance(4_000);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(condition(), "waited in vain");
}
