/**
 * The upstream behind the proxies: `tls IP PORT CA CERT KEY` speaks HTTP/1.1 over mutual TLS, `hbone IP CA-FOLDER` accepts
 * tunnels on 15008 and speaks HTTP/1.1 on port 8080 of them, HTTP/2 on 8081. Prints a line when it listens.
 */
import { readFileSync } from "node:fs";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import type { Handle } from "#core/handle/handle.ts";
import { serveHbone } from "#core/hbone/hbone-server.ts";
import { StreamHandle } from "#core/hbone/stream-handle.ts";
import type { ServerExchange } from "#core/http/exchange.ts";
import { Http2ServerConnection } from "#core/http2/server-connection.ts";
import { peerChain, serverContext, verifyClientPeer } from "#core/identity/tls-options.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { ip } from "#core/net/ip.ts";
import { HTTP2_PORT } from "./bench-mesh.ts";
import { ANSWER_BODY, ANSWER_FIELDS, answerText } from "./http-text.ts";
import { MessageCounter } from "./message-counter.ts";
import { benchIdentity, meshCa, TRUST_DOMAIN } from "./open-transport.ts";
import { upstreamContext } from "./upstream-context.ts";

const [mode, address = "", ...rest] = process.argv.slice(2);
const HANDSHAKE_MS = 10_000;
const ANSWER = answerText();
process.stdin.on("end", () => process.exit(0)).resume();
if (mode === "tls") await serveTls(rest);
else await serveTunnels(rest[0] ?? "");

async function serveTls([port, ca, cert, key]: readonly string[]): Promise<void> {
  const read = (path: string | undefined): string => readFileSync(path ?? "", "utf8");
  const context = upstreamContext({ ca: read(ca), cert: read(cert), key: read(key) });
  const backend = chooseBackend();
  await backend.listen({ ip: ip(address), port: Number(port) }, 4_096, (tcp) => {
    backend.tlsServer(tcp, { context, handshakeTimeoutMs: HANDSHAKE_MS }).then(serveHttp1, () => undefined);
  });
  ready();
}

async function serveTunnels(caDirectory: string): Promise<void> {
  const backend = chooseBackend();
  const certificate = meshCa(caDirectory).issueNow(benchIdentity("server"));
  const context = serverContext(certificate);
  await backend.listen({ ip: ip(address), port: HBONE_PORT }, 4_096, (tcp) => {
    serveHbone(tcp, {
      backend,
      context,
      verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: [TRUST_DOMAIN] }),
      onConnect: (request) => {
        const { local, source, authority } = request;
        const port = authority.kind === "address" ? authority.address.port : 0;
        const handle = new StreamHandle({ stream: request.accept(), local, remote: source });
        if (port === HTTP2_PORT) serveHttp2(handle);
        else serveHttp1(handle);
      },
    });
  });
  ready();
}

function serveHttp1(handle: Handle): void {
  const counter = new MessageCounter(() => void handle.write(ANSWER));
  handle.start({
    onData: (bytes) => counter.feed(bytes),
    onEnd: () => handle.shutdown(),
    onDrain: () => undefined,
    onClose: () => undefined,
  });
}

function serveHttp2(handle: Handle): void {
  new Http2ServerConnection(handle, {
    events: { onRequest: answer, onRefused: () => undefined, onClose: () => undefined },
  });
}

function answer(exchange: ServerExchange): void {
  exchange.start({
    onBody: () => undefined,
    onEnd: () => undefined,
    onWritable: () => undefined,
    onAbort: () => undefined,
  });
  exchange.sendHead({
    status: 200,
    fields: ANSWER_FIELDS,
    body: { kind: "length", bytes: ANSWER_BODY.length },
  });
  exchange.write(ANSWER_BODY);
  exchange.end([]);
}

function ready(): void {
  process.stdout.write(`${JSON.stringify({ event: "ready" })}\n`);
}
