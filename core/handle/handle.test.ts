import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { connect as tlsConnect, type ConnectionOptions, type SecureContext } from "node:tls";
import { createFileCa } from "../identity/file-ca.ts";
import { ip } from "../net/ip.ts";
import { clientContext, serverContext } from "../identity/tls-options.ts";
import { contextOf, testCa, testIdentity } from "../testing/tls-identities.ts";
import { chooseBackend } from "./choose-handle.ts";
import { handleConformance } from "../testing/handle-conformance.ts";
import type { HandleBackend } from "./handle-backend.ts";
import type { Handle } from "./handle.ts";
import type { TlsHandle } from "./tls-handle.ts";

const ca = testCa();
const foreignCa = testCa();
const DAY_MS = 86_400_000;
const pastCa = createFileCa({
  trustDomain: "cluster.local",
  rootPem: ca.rootPem,
  rootKeyPem: ca.rootKeyPem,
  ttlMs: DAY_MS / 2,
  nowMs: () => Date.now() - DAY_MS,
});
const server = serverContext(ca.issueNow(testIdentity("server")));
const clientLeaf = ca.issueNow(testIdentity("client"));
const client = clientContext(clientLeaf);
const clientPem = { cert: clientLeaf.chainPem, key: clientLeaf.keyPem, ca: [ca.rootPem] };

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  handleConformance({ backend });
  handleConformance({ backend, tls: { server, client } });
  plainEdges(backend);
  tlsEdges(backend);
}

function plainEdges(backend: HandleBackend): void {
  describe(`sockets: ${backend.name}`, () => {
    const destination = (port: number) => ({ ip: ip("127.0.0.1"), port });

    it("names the system error of a failed connect", async () => {
      const listener = await backend.listen(destination(0), 1, (handle) => handle.reset());
      listener.close();
      await new Promise((resolve) => setImmediate(resolve));
      const dial = backend.connect({ destination: destination(listener.port), timeoutMs: 5_000 });
      await assert.rejects(dial, { code: "ECONNREFUSED" });
    });

    it("gives up when the signal fires", async () => {
      const signal = AbortSignal.abort(new Error("no longer wanted"));
      const dial = backend.connect({ destination: destination(9), timeoutMs: 5_000 }, signal);
      await assert.rejects(dial, /no longer wanted/);
    });

    it("binds the source address", async () => {
      const accepted = Promise.withResolvers<Handle>();
      const listener = await backend.listen({ ip: ip("::"), port: 0 }, 1, accepted.resolve);
      const options = {
        destination: destination(listener.port),
        sourceIp: ip("127.0.0.9"),
        timeoutMs: 5_000,
      };
      const handle = await backend.connect(options);
      assert.equal((await accepted.promise).remote.ip, "127.0.0.9");
      assert.equal((await accepted.promise).local.ip, "127.0.0.1");
      assert.equal(handle.local.ip, "127.0.0.9");
      handle.reset();
      (await accepted.promise).reset();
      listener.close();
    });

    it("shows a node:net peer a RST after reset and a FIN after shutdown", async () => {
      for (const end of ["reset", "shutdown"] as const) {
        const accepted = Promise.withResolvers<Handle>();
        const listener = await backend.listen(destination(0), 1, accepted.resolve);
        const peer = connect(listener.port, "127.0.0.1");
        const handle = await accepted.promise;
        handle.start({ onData: noop, onEnd: noop, onDrain: noop, onClose: noop });
        const seen = outcome(peer);
        handle[end]();
        assert.equal(await seen, end === "reset" ? "ECONNRESET" : "FIN");
        listener.close();
      }
    });

    it("sees a RST of the peer as ECONNRESET", async () => {
      const listening = createServer((socket) => setImmediate(() => socket.resetAndDestroy()));
      await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
      const { port } = listening.address() as { port: number };
      const handle = await backend.connect({ destination: destination(port), timeoutMs: 5_000 });
      const closed = Promise.withResolvers<Error | undefined>();
      handle.start({ onData: noop, onEnd: noop, onDrain: noop, onClose: closed.resolve });
      assert.equal(((await closed.promise) as NodeJS.ErrnoException).code, "ECONNRESET");
      listening.close();
    });
  });
}

function tlsEdges(backend: HandleBackend): void {
  describe(`TLS rules: ${backend.name}`, () => {
    const open: Handle[] = [];
    after(() => open.forEach((handle) => handle.reset()));

    it("negotiates TLS 1.3 with AES-256-GCM and shows the peer's certificate", async () => {
      const { handles, listener } = await tlsServer(backend, 5_000);
      const tcp = await backend.connect({
        destination: { ip: ip("127.0.0.1"), port: listener.port },
        timeoutMs: 5_000,
      });
      const tls = await backend.tlsClient(tcp, { context: client, handshakeTimeoutMs: 5_000 });
      const accepted = await handles();
      open.push(tls, accepted);
      assert.equal(tls.protocol, "TLSv1.3");
      assert.equal(tls.cipher, "TLS_AES_256_GCM_SHA384");
      assert.match(accepted.peerCertificate.subjectAltName ?? "", /sa\/client/);
      assert.match(tls.peerCertificate.subjectAltName ?? "", /sa\/server/);
      listener.close();
    });

    const refused: readonly (readonly [string, ConnectionOptions])[] = [
      ["a client without certificate", { secureContext: contextOf(undefined, ca.rootPem) }],
      [
        "a client of a foreign CA",
        { secureContext: contextOf(foreignCa.issueNow(testIdentity("client")), ca.rootPem) },
      ],
      [
        "an expired client",
        { secureContext: contextOf(pastCa.issueNow(testIdentity("client")), ca.rootPem) },
      ],
      ["TLS 1.2", { ...clientPem, maxVersion: "TLSv1.2" }],
      ["ALPN http/1.1", { secureContext: client, ALPNProtocols: ["http/1.1"] }],
      ["ChaCha20", { ...clientPem, ciphers: "TLS_CHACHA20_POLY1305_SHA256", minVersion: "TLSv1.3" }],
    ];
    for (const [name, options] of refused) {
      it(`refuses ${name}`, async () => {
        const { handles, listener } = await tlsServer(backend, 5_000);
        const peer = tlsConnect({
          port: listener.port,
          host: "127.0.0.1",
          ALPNProtocols: ["h2"],
          checkServerIdentity: () => undefined,
          ...options,
        });
        const seen = outcome(peer);
        await assert.rejects(handles(), { code: "HANDLE_TLS_FAILED" });
        assert.notEqual(await seen, "data");
        listener.close();
      });
    }

    it("accepts a client without ALPN", async () => {
      const { handles, listener } = await tlsServer(backend, 5_000);
      const peer = tlsConnect({
        port: listener.port,
        host: "127.0.0.1",
        secureContext: client,
        checkServerIdentity: () => undefined,
      });
      peer.on("error", noop);
      open.push(await handles());
      peer.destroy();
      listener.close();
    });

    it("ends a handshake that stalls or is no TLS", async () => {
      const { handles, listener } = await tlsServer(backend, 50);
      const silent = connect(listener.port, "127.0.0.1");
      silent.on("error", noop);
      await assert.rejects(handles(), { code: "HANDLE_TLS_TIMEOUT" });
      const plain = await tlsServer(backend, 5_000);
      const talker = connect(plain.listener.port, "127.0.0.1");
      talker.on("error", noop);
      talker.write("GET / HTTP/1.1\r\n\r\n");
      await assert.rejects(plain.handles(), { code: "HANDLE_TLS_FAILED" });
      silent.destroy();
      talker.destroy();
      listener.close();
      plain.listener.close();
    });

    it("as a client refuses a server of a foreign CA and one without h2", async () => {
      const foreign = contextOf(foreignCa.issueNow(testIdentity("server")), ca.rootPem);
      await assert.rejects(dialTlsServer(foreign, ["h2"]), { code: "HANDLE_TLS_FAILED" });
      await assert.rejects(dialTlsServer(server, ["http/1.1"]), { code: "HANDLE_TLS_FAILED" });
    });

    async function dialTlsServer(context: SecureContext, protocols: string[]): Promise<TlsHandle> {
      const tlsModule = await import("node:tls");
      const listening = tlsModule.createServer({ ALPNProtocols: protocols, requestCert: true });
      listening.on("tlsClientError", noop);
      const plain = createServer((socket) => {
        const secure = new tlsModule.TLSSocket(socket, {
          isServer: true,
          secureContext: context,
          requestCert: true,
          ALPNProtocols: protocols,
        });
        secure.on("error", noop);
      });
      await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
      const { port } = plain.address() as { port: number };
      plain.unref();
      const tcp = await backend.connect({ destination: { ip: ip("127.0.0.1"), port }, timeoutMs: 5_000 });
      return backend
        .tlsClient(tcp, { context: client, handshakeTimeoutMs: 5_000 })
        .finally(() => plain.close());
    }
  });
}

async function tlsServer(backend: HandleBackend, handshakeTimeoutMs: number) {
  const result = Promise.withResolvers<TlsHandle>();
  result.promise.catch(noop);
  const listener = await backend.listen({ ip: ip("127.0.0.1"), port: 0 }, 16, (tcp) => {
    backend.tlsServer(tcp, { context: server, handshakeTimeoutMs }).then(result.resolve, result.reject);
  });
  return { listener, handles: () => result.promise };
}

function outcome(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("data", () => resolve("data"));
    socket.on("end", () => resolve("FIN"));
    socket.on("close", () => resolve("closed"));
  });
}

function noop(): void {}
