/** What kills a process or leaks silently when done to a libuv handle, done to both backends: it must end in an error. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { TLSSocket } from "node:tls";
import { clientContext, serverContext } from "../identity/tls-options.ts";
import { ip } from "../net/ip.ts";
import { handlePair } from "../testing/handle-pair.ts";
import { RecordingEvents } from "../testing/recording-events.ts";
import { testCa, testIdentity } from "../testing/tls-identities.ts";
import { chooseBackend } from "./choose-handle.ts";
import type { HandleBackend } from "./handle-backend.ts";
import type { HandleEvents } from "./handle.ts";

const LOOPBACK = ip("127.0.0.1");
const ca = testCa();
const server = serverContext(ca.issueNow(testIdentity("server")));
const client = clientContext(ca.issueNow(testIdentity("client")));
const quiet: HandleEvents = {
  onData: () => undefined,
  onEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  for (const tls of [undefined, { server, client }]) {
    describe(`after the end: ${wanted} ${tls === undefined ? "tcp" : "tls"}`, () => {
      it("nothing is delivered after a reset, whatever has arrived", async () => {
        const pair = await handlePair({ backend, ...(tls === undefined ? {} : { tls }) });
        const closed = Promise.withResolvers<void>();
        let calls = 0;
        let callsAfter = 0;
        const count = (): void => void (pair.server.closed ? callsAfter++ : calls++);
        pair.server.start({
          onData: () => {
            count();
            pair.server.reset();
          },
          onEnd: count,
          onDrain: count,
          onClose: () => closed.resolve(),
        });
        const peer = new RecordingEvents(pair.client);
        pair.client.write(randomBytes(4 << 20));
        await closed.promise;
        await peer.closed;
        assert.deepEqual([calls, callsAfter], [1, 0]);
      });

      it("a pause holds after what the wrap had in hand, and nothing is lost by it", async () => {
        const pair = await handlePair({ backend, ...(tls === undefined ? {} : { tls }) });
        const sent = randomBytes(2 << 20);
        const ended = Promise.withResolvers<void>();
        const chunks: Buffer[] = [];
        pair.server.start({
          ...quiet,
          onData: (bytes) => {
            chunks.push(Buffer.from(bytes));
            pair.server.pause();
            setImmediate(() => pair.server.resume());
          },
          onEnd: () => ended.resolve(),
        });
        const peer = new RecordingEvents(pair.client);
        await peer.writeAll(sent, 100_000);
        pair.client.shutdown();
        await ended.promise;
        assert.ok(Buffer.concat(chunks).equals(sent));
        pair.server.shutdown();
        await peer.closed;
      });
    });
  }
  adoption(backend);
  agreement(backend);
}

function adoption(backend: HandleBackend): void {
  describe(`descriptors and handles that are not what they should be: ${backend.name}`, () => {
    it("an adopted descriptor that is no socket is an error, for listening and for connecting", async () => {
      for (const use of ["listen", "connect"] as const) {
        const fd = openSync("/dev/null", "r");
        let failure: unknown;
        try {
          if (use === "listen") backend.listenFd(fd, 1, (handle) => handle.reset()).close();
          else await backend.connectFd(fd, { ip: LOOPBACK, port: 9 }, 1_000);
        } catch (error) {
          failure = error;
        }
        assert.ok(failure instanceof Error, use);
        try {
          closeSync(fd);
        } catch {
          // The backend has closed what it was given.
        }
      }
    });

    it("TLS on a handle that is closed, started by another, or of the other backend is refused", async () => {
      const { client: closed, server: other } = await handlePair({ backend });
      closed.reset();
      const options = { context: client, handshakeTimeoutMs: 1_000 };
      await assert.rejects(backend.tlsClient(closed, options), { code: "HANDLE_TLS_FAILED" });
      const foreign = chooseBackend({ wanted: backend.name === "raw" ? "public" : "raw" });
      await assert.rejects(foreign.tlsServer(other, { ...options, context: server }), {
        code: "HANDLE_TLS_FAILED",
      });
      other.reset();
    });
  });
}

function agreement(backend: HandleBackend): void {
  /** A server by hand, without ALPN unless given; answers what the client asked for. */
  async function dialServer(
    ALPNProtocols?: string[],
  ): Promise<{ readonly servername: unknown; readonly error: unknown }> {
    const asked = Promise.withResolvers<unknown>();
    const listening = createServer((socket) => {
      const secure = new TLSSocket(socket, {
        isServer: true,
        secureContext: server,
        requestCert: true,
        ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
      });
      secure.on("error", () => asked.resolve(undefined)).on("close", () => asked.resolve(undefined));
      const { _handle: wrap } = secure as unknown as { readonly _handle: { getServername(): unknown } };
      secure.on("secure", () => asked.resolve(wrap.getServername()));
    });
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    const { port } = listening.address() as AddressInfo;
    const tcp = await backend.connect({ destination: { ip: LOOPBACK, port }, timeoutMs: 5_000 });
    const outcome = await backend.tlsClient(tcp, { context: client, handshakeTimeoutMs: 5_000 }).then(
      async (handle) => {
        await asked.promise;
        handle.reset();
        return undefined;
      },
      (error: unknown) => error,
    );
    const servername = await asked.promise;
    listening.close();
    return { servername, error: outcome };
  }

  describe(`what our client says and demands: ${backend.name}`, () => {
    it("a server that agrees to no protocol is refused", async () => {
      const { error } = await dialServer();
      assert.equal((error as { code?: string } | undefined)?.code, "HANDLE_TLS_FAILED");
      assert.match(String(error), /did not agree to h2/);
    });

    it("no server name is sent", async () => {
      const { servername, error } = await dialServer(["h2"]);
      assert.equal(error, undefined);
      assert.equal(servername, false);
    });
  });
}
