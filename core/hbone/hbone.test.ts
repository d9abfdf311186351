import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { describe, it } from "node:test";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import type { Handle } from "../handle/handle.ts";
import { CLIENT_LIMITS, SERVER_LIMITS, type SessionLimits } from "../http2/session-options.ts";
import { type HboneFixture, hboneFixture } from "../testing/hbone-fixture.ts";
import { ip } from "../net/ip.ts";
import type { SocketAddress } from "../net/socket-address.ts";
import { AmbitError } from "../runtime/errors.ts";
import { relay, type RelayResult } from "./relay.ts";

const LOOPBACK = ip("127.0.0.1");
const QUICK_PING: Partial<SessionLimits> = { pingAfterMs: 50, pongTimeoutMs: 150 };

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`tunnels end to end: ${wanted}`, () => {
    it("carries an echo of many connections through one tunnel, with half-close", async () => {
      const mesh = await openMesh(backend, (socket) => {
        socket.pipe(socket);
      });
      const transfers = Array.from({ length: 24 }, (_, i) => echoThrough(mesh.port, (i + 1) * 77_777));
      await Promise.all(transfers);
      assert.equal(mesh.hbone.pool.tunnels().length, 1);
      const results = await mesh.results(48);
      assert.deepEqual([...new Set(results.map((result) => result.end))], ["clean"]);
      await mesh.close();
    });

    it("carries a FIN as a FIN and leaves the other half open", async () => {
      const mesh = await openMesh(backend, (socket) => {
        socket.on("end", () => setTimeout(() => socket.end("after your FIN"), 5));
        socket.resume();
      });
      const app = await dialApp(mesh.port);
      app.end("question");
      assert.deepEqual(await readAll(app), { text: "after your FIN", end: "FIN" });
      await mesh.close();
    });

    it("carries a server's FIN while the client goes on sending", async () => {
      const received = Promise.withResolvers<string>();
      const mesh = await openMesh(backend, (socket) => {
        socket.end("bye");
        readAll(socket).then((result) => received.resolve(`${result.text} ${result.end}`), received.reject);
      });
      const app = await dialApp(mesh.port);
      const answer = await readAll(app);
      assert.deepEqual(answer, { text: "bye", end: "FIN" });
      app.end("still here");
      assert.equal(await received.promise, "still here FIN");
      assert.deepEqual(await ends(mesh, 2), ["clean", "clean"]);
      await mesh.close();
    });

    it("carries a RST of either application as a RST", async () => {
      const server = Promise.withResolvers<string>();
      const mesh = await openMesh(backend, (socket) => {
        readAll(socket).then((result) => server.resolve(result.end), server.reject);
        socket.write("hello");
      });
      const app = await dialApp(mesh.port);
      await once(app, "data");
      app.resetAndDestroy();
      assert.equal(await server.promise, "ECONNRESET");
      assert.deepEqual((await ends(mesh, 2)).toSorted(), ["reset-by-app", "reset-by-peer"]);
      const other = await openMesh(backend, (socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.resetAndDestroy());
      });
      const second = await dialApp(other.port);
      second.write("trigger");
      assert.equal((await readAll(second)).end, "ECONNRESET");
      await mesh.close();
      await other.close();
    });

    for (const loss of ["reset", "end", "garbage", "blackHole"] as const) {
      it(`resets both applications when the tunnel is lost by ${loss}, never a clean end`, async () => {
        const server = Promise.withResolvers<string>();
        const mesh = await openMesh(
          backend,
          (socket) => {
            readAll(socket).then((result) => server.resolve(result.end), server.reject);
            socket.write(randomBytes(100_000));
          },
          { withMiddlebox: true, limits: QUICK_PING },
        );
        const app = await dialApp(mesh.port);
        const end = readAll(app);
        await once(app, "data");
        mesh.hbone.box?.[loss]();
        assert.equal((await end).end, "ECONNRESET");
        assert.equal(await server.promise, "ECONNRESET");
        assert.deepEqual(await ends(mesh, 2), ["tunnel-lost", "tunnel-lost"]);
        await mesh.close();
      });
    }

    it("finishes open connections after GOAWAY and takes a new tunnel for new ones", async () => {
      const mesh = await openMesh(backend, (socket) => {
        socket.on("error", () => undefined);
        socket.pipe(socket);
      });
      const old = await dialApp(mesh.port);
      old.write("one ");
      await once(old, "data");
      mesh.hbone.connections[0]?.drain();
      await mesh.until(() => mesh.hbone.connections.length === 1 && mesh.accepted === 1);
      const answer = readAll(old);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const next = await dialApp(mesh.port);
      next.end("new");
      assert.deepEqual(await readAll(next), { text: "new", end: "FIN" });
      assert.equal(mesh.hbone.connections.length, 2);
      old.end("two");
      assert.deepEqual(await answer, { text: "two", end: "FIN" });
      assert.equal(await mesh.hbone.connections[0]?.done, undefined);
      assert.deepEqual(new Set(await ends(mesh, 4)), new Set(["clean"]));
      await mesh.close();
    });

    it("reports policy at the server's end as a reset there and here", async () => {
      const server = Promise.withResolvers<string>();
      const mesh = await openMesh(backend, (socket) => {
        readAll(socket).then((result) => server.resolve(result.end), server.reject);
        socket.write("x");
      });
      const app = await dialApp(mesh.port);
      const end = readAll(app);
      await once(app, "data");
      mesh.hbone.connections[0]?.close("certificate revoked");
      assert.deepEqual([(await end).end, await server.promise], ["ECONNRESET", "ECONNRESET"]);
      assert.deepEqual((await ends(mesh, 2)).toSorted(), ["closed-by-policy", "tunnel-lost"]);
      await mesh.close();
    });

    it("resets the application when the application behind the tunnel cannot be reached", async () => {
      const mesh = await openMesh(backend, () => undefined, { target: { ip: LOOPBACK, port: 1 } });
      const app = await dialApp(mesh.port);
      app.write("early");
      assert.equal((await readAll(app)).end, "ECONNRESET");
      const [result] = await mesh.results(1);
      assert.ok(result?.error instanceof AmbitError);
      assert.equal(result.error.fields["status"], 503);
      await mesh.close();
    });

    it("ends by policy with a reset and the reason", async () => {
      const mesh = await openMesh(backend, (socket) => socket.on("error", () => undefined));
      const app = await dialApp(mesh.port);
      app.write("x");
      const end = readAll(app);
      await mesh.until(() => mesh.accepted === 1);
      mesh.hbone.pool.abort(() => true, "policy shop/deny-all");
      assert.equal((await end).end, "ECONNRESET");
      const [result] = await mesh.results(1);
      assert.equal(result?.end, "closed-by-policy");
      assert.match(String(result?.error?.message), /deny-all/);
      await mesh.close();
    });

    it("is not held up by six applications that do not read", async () => {
      const chunk = Buffer.alloc(1 << 20);
      const mesh = await openMesh(backend, (socket) => {
        socket.on("error", () => undefined);
        socket.once("data", (first) => {
          if (first.toString() === "ping") {
            socket.end("pong");
            return;
          }
          const pump = (): void => {
            while (socket.write(chunk));
          };
          socket.on("drain", pump);
          pump();
        });
      });
      const stalled = await Promise.all(Array.from({ length: 6 }, () => dialApp(mesh.port)));
      for (const app of stalled) {
        app.pause();
        app.write("bulk");
      }
      await mesh.quiet();
      const app = await dialApp(mesh.port);
      app.end("ping");
      assert.equal((await readAll(app)).text, "pong");
      assert.equal(mesh.hbone.pool.tunnels().length, 1);
      for (const socket of stalled) socket.resetAndDestroy();
      await mesh.close();
    });
  });
}

interface Mesh {
  readonly port: number;
  readonly hbone: HboneFixture;
  readonly accepted: number;
  results(count: number): Promise<readonly RelayResult[]>;
  /** Until bytes no longer move. */
  quiet(): Promise<void>;
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Application -> listener -> pool =tunnel=> server -> dial -> application. */
async function openMesh(
  backend: HandleBackend,
  onApp: (socket: Socket) => void,
  options: {
    readonly target?: SocketAddress;
    readonly withMiddlebox?: boolean;
    readonly limits?: Partial<SessionLimits>;
  } = {},
): Promise<Mesh> {
  const app = createServer({ allowHalfOpen: true }, onApp);
  await listenOn(app);
  const { port } = app.address() as AddressInfo;
  const target = options.target ?? { ip: LOOPBACK, port };
  const relays: ReturnType<typeof relay>[] = [];
  let accepted = 0;
  const hbone = await hboneFixture({
    backend,
    withMiddlebox: options.withMiddlebox ?? false,
    server: { limits: { ...SERVER_LIMITS, ...options.limits } },
    pool: { limits: { ...CLIENT_LIMITS, ...options.limits } },
    onConnect: async (request) => {
      assert.equal(request.authority.kind, "address");
      try {
        const upstream = await backend.connect({ destination: target, timeoutMs: 2_000 }, request.signal);
        accepted++;
        relays.push(relay(upstream, request.accept()));
      } catch {
        request.refuse(503);
      }
    },
  });
  const listener = await backend.listen({ ip: LOOPBACK, port: 0 }, 128, (handle: Handle) => {
    hbone.open(target).then(
      (stream) => relays.push(relay(handle, stream)),
      () => handle.reset(),
    );
  });
  const until = async (condition: () => boolean): Promise<void> => {
    for (let i = 0; i < 2_000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.ok(condition(), "waited in vain");
  };
  return {
    port: listener.port,
    hbone,
    get accepted() {
      return accepted;
    },
    until,
    results: async (count) => {
      await until(() => relays.length >= count);
      return Promise.all(relays.map((each) => each.done));
    },
    quiet: async () => {
      for (let same = 0, last = -1; same < 10;) {
        const now = relays.reduce((sum, each) => sum + each.bytesReceived + each.bytesSent, 0);
        same = now === last && now > 0 ? same + 1 : 0;
        last = now;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    close: async () => {
      listener.close();
      app.close();
      await hbone.close();
    },
  };
}

async function ends(mesh: Mesh, count: number): Promise<string[]> {
  return (await mesh.results(count)).map((result) => result.end);
}

async function listenOn(server: Server): Promise<void> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
}

async function dialApp(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

/** Everything until FIN or an error, with its code. */
function readAll(socket: Socket): Promise<{ readonly text: string; readonly end: string }> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    const done = (end: string): void => resolve({ text: Buffer.concat(chunks).toString(), end });
    socket.once("end", () => done("FIN"));
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  });
}

async function echoThrough(port: number, bytes: number): Promise<void> {
  const socket = await dialApp(port);
  const sent = randomBytes(bytes);
  const hash = createHash("sha256");
  let received = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    hash.update(chunk);
  });
  socket.end(sent);
  await once(socket, "end");
  assert.equal(received, bytes);
  assert.equal(hash.digest("hex"), createHash("sha256").update(sent).digest("hex"));
}
