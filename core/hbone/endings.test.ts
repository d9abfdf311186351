/** How a peer's end of a tunnel or stream looks to the application: a FIN only after END_STREAM, else a RST. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { type AddressInfo, connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import { HBONE_ALPN } from "../identity/tls-options.ts";
import { ip } from "../net/ip.ts";
import {
  data,
  frame,
  goaway,
  headers,
  literal,
  parseFrames,
  rst,
  settings,
  windowUpdate,
} from "../testing/frames.ts";
import { clientCertificate, connectTo, dialDeps, serverCertificate } from "../testing/hbone-fixture.ts";
import { HbonePool, type HbonePoolKey } from "./hbone-pool.ts";
import { relay, type RelayResult } from "./relay.ts";

const LOOPBACK = ip("127.0.0.1");
const APP = { ip: LOOPBACK, port: 80 };
/** More than a read brings. */
const EARLY = 300_000;
const OK = headers(1, literal(":status", "200"));

/** What the peer does when the CONNECT has come. */
type Script = (peer: TLSSocket) => void;

interface Ending {
  readonly name: string;
  readonly script: Script;
  /** What the application reads, and how its connection ends. */
  readonly app: string;
  readonly result: string;
}

/** Whose own half is still open when the peer acts. */
const ENDINGS: readonly Ending[] = [
  {
    name: "the tunnel ends with close_notify",
    script: (peer) => peer.end(Buffer.concat([OK, data(1, "part")])),
    app: "part ECONNRESET",
    result: "tunnel-lost",
  },
  {
    name: "GOAWAY, then the tunnel ends",
    script: (peer) => peer.end(Buffer.concat([OK, data(1, "part"), goaway(1)])),
    app: "part ECONNRESET",
    result: "tunnel-lost",
  },
  {
    name: "GOAWAY with an error, then the tunnel ends",
    script: (peer) => peer.end(Buffer.concat([OK, data(1, "part"), goaway(1, 2)])),
    app: "part ECONNRESET",
    result: "tunnel-lost",
  },
  ...[0, 2, 8].map((code) => ({
    name: `RST_STREAM with code ${code}`,
    script: (peer: TLSSocket) => void peer.write(Buffer.concat([OK, data(1, "part"), rst(1, code)])),
    app: "part ECONNRESET",
    result: "reset-by-peer",
  })),
  {
    name: "END_STREAM and RST_STREAM in one write",
    script: (peer) => void peer.write(Buffer.concat([OK, data(1, "all", 1), rst(1, 0)])),
    app: "all FIN",
    result: "clean",
  },
  {
    name: "END_STREAM, then the tunnel ends",
    script: (peer) => {
      peer.write(Buffer.concat([OK, data(1, "all", 1)]));
      peer.on("data", (bytes: Buffer) => {
        // Our END_STREAM has come: both halves are over.
        if (parseFrames(bytes).some(({ type, flags }) => type === 0 && (flags & 1) === 1)) peer.end();
      });
    },
    app: "all FIN",
    result: "clean",
  },
  {
    name: "a 200 that ends the stream",
    script: (peer) => void peer.write(headers(1, literal(":status", "200"), 5)),
    app: " FIN",
    result: "clean",
  },
  {
    name: "trailers that end the stream",
    script: (peer) =>
      void peer.write(Buffer.concat([OK, data(1, "all"), headers(1, literal("grpc-status", "0"), 5)])),
    app: "all FIN",
    result: "clean",
  },
  {
    name: "a status that is neither 200 nor ours",
    script: (peer) => void peer.write(headers(1, literal(":status", "404"), 5)),
    app: " ECONNRESET",
    result: "reset-by-peer",
  },
  {
    name: "DATA before the answer",
    script: (peer) => void peer.write(Buffer.concat([data(1, "too early"), OK])),
    app: " ECONNRESET",
    result: "reset-by-peer",
  },
  {
    name: "a frame that breaks the rules: nothing of that read is delivered",
    script: (peer) =>
      void peer.write(Buffer.concat([OK, data(1, "part"), frame(0, 0, 99, Buffer.from("x"))])),
    app: " ECONNRESET",
    result: "tunnel-lost",
  },
];

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`what the application sees: ${wanted}`, () => {
    for (const { name, script, app, result } of ENDINGS) {
      it(name, async (t) => {
        const mesh = await scriptedMesh(backend, script);
        t.after(() => mesh.close());
        const socket = await mesh.dial();
        const seen = await outcome(socket);
        assert.equal(`${seen.text} ${seen.end}`, app);
        socket.end();
        assert.equal((await mesh.result).end, result);
      });
    }

    it("END_STREAM and RST_STREAM in one write, fifty times: every descriptor comes back", async () => {
      const before = openSockets();
      for (let i = 0; i < 50; i++) {
        const mesh = await scriptedMesh(
          backend,
          (peer) => void peer.write(Buffer.concat([OK, data(1, "all", 1), rst(1, 8)])),
        );
        const socket = await mesh.dial();
        assert.equal((await outcome(socket)).end, "FIN");
        socket.end();
        await mesh.result;
        await mesh.close();
      }
      await until(() => openSockets() <= before);
    });

    it("an application that ends and then resets: END_STREAM, and RST_STREAM when a write fails", async (t) => {
      const got: string[] = [];
      const ended = Promise.withResolvers<TLSSocket>();
      const reset = Promise.withResolvers<void>();
      const mesh = await scriptedMesh(backend, (peer) => {
        peer.write(OK);
        peer.on("data", (bytes: Buffer) => {
          for (const { type, flags } of parseFrames(bytes)) {
            if (type === 0 && (flags & 1) === 1) {
              got.push("END");
              ended.resolve(peer);
            }
            if (type !== 3) continue;
            got.push("RST");
            reset.resolve();
          }
        });
      });
      t.after(() => mesh.close());
      const socket = await mesh.dial();
      socket.end("all");
      const peer = await ended.promise;
      socket.resetAndDestroy();
      const feed = setInterval(() => peer.write(data(1, "x")), 5);
      t.after(() => clearInterval(feed));
      await reset.promise;
      assert.deepEqual(got, ["END", "RST"]);
      assert.equal((await mesh.result).end, "reset-by-app");
    });

    // What one read brings cannot be left unread; node:net reads up to 64 KiB at once.
    const earlyBytes = wanted === "raw" ? 16_384 : 8_192 + 65_536;
    it(`no more than ${earlyBytes} bytes are taken from the application before the answer; then all`, async (t) => {
      const answer = Promise.withResolvers<() => void>();
      let received = 0;
      const mesh = await scriptedMesh(backend, (peer) => {
        answer.resolve(() => peer.write(OK));
        peer.on("data", (bytes: Buffer) => {
          received += bytes.length;
        });
      });
      t.after(() => mesh.close());
      const socket = await mesh.dial();
      socket.on("error", () => undefined);
      socket.write(Buffer.alloc(EARLY));
      const say = await answer.promise;
      await quiet(() => received);
      assert.ok(received > 0 && received <= earlyBytes + 1_000, `${received} bytes before the answer`);
      say();
      await until(() => received >= EARLY);
      socket.resetAndDestroy();
    });
  });
}

/** An application, our client end, and a peer whose every frame is in the script. */
async function scriptedMesh(backend: HandleBackend, script: Script) {
  const peers = new Set<TLSSocket>();
  const server = createServer(
    { requestCert: true, rejectUnauthorized: true, ALPNProtocols: [...HBONE_ALPN], ...plainOptions() },
    (peer) => {
      peers.add(peer);
      peer.on("error", () => undefined);
      peer.write(Buffer.concat([settings([4, EARLY]), frame(4, 1, 0), windowUpdate(0, EARLY)]));
      const onData = (bytes: Buffer): void => {
        if (!parseFrames(bytes).some(({ type }) => type === 1)) return;
        peer.removeListener("data", onData);
        script(peer);
        peer.resume();
      };
      peer.on("data", onData);
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const pool = new HbonePool({ backend });
  const key: HbonePoolKey = {
    sourceIdentity: clientCertificate.identity,
    sourceIp: LOOPBACK,
    expectedIdentities: [serverCertificate.identity],
    destination: { ip: LOOPBACK, port: (server.address() as AddressInfo).port },
  };
  const result = Promise.withResolvers<RelayResult>();
  result.promise.catch(() => undefined);
  const listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 1, (handle) => {
    pool
      .connect(key, connectTo(APP), dialDeps(backend, key), AbortSignal.timeout(10_000))
      .then((stream) => relay(handle, stream).done)
      .then(result.resolve, result.reject);
  });
  return {
    result: result.promise,
    dial: async (): Promise<Socket> => {
      const socket = connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
    close: async (): Promise<void> => {
      listener.close();
      await pool.close();
      for (const peer of peers) peer.destroy();
      server.close();
    },
  };
}

/** The certificate in the form that node:tls takes. */
function plainOptions(): { readonly cert: string; readonly key: string; readonly ca: string[] } {
  const { chainPem, keyPem, rootsPem } = serverCertificate;
  return { cert: chainPem, key: keyPem, ca: [...rootsPem] };
}

function outcome(socket: Socket): Promise<{ readonly text: string; readonly end: string }> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    const done = (end: string): void => resolve({ text: Buffer.concat(chunks).toString(), end });
    socket.once("end", () => done("FIN"));
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  });
}

function openSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(condition(), "waited in vain");
}

/** Until a number stays what it is. */
async function quiet(read: () => number): Promise<void> {
  for (let same = 0, last = -1; same < 20;) {
    const now = read();
    same = now === last && now > 0 ? same + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
