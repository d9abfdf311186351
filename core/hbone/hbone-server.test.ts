import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as http2Connect } from "node:http2";
import { describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { chooseBackend } from "../handle/choose-handle.ts";
import type { HandleBackend } from "../handle/handle-backend.ts";
import { clientContext, peerChain, verifyClientPeer } from "../identity/tls-options.ts";
import { clientCertificate, hboneFixture, type HboneFixture } from "../testing/hbone-fixture.ts";
import type { HboneRequest } from "./hbone-server.ts";

for (const wanted of ["public", "raw"] as const) {
  const backend = chooseBackend({ wanted });
  describe(`server towards node:http2: ${wanted}`, () => {
    it("answers what is not a tunnel to an address or name with 400", async () => {
      const { mesh, session } = await nodeClient(backend, (request) => request.refuse(503));
      const cases: readonly (readonly [Record<string, string>, string])[] = [
        [{ ":method": "GET", ":path": "/", ":authority": "10.0.0.1:80", ":scheme": "https" }, "400"],
        [{ ":method": "CONNECT", ":authority": "10.0.0.1" }, "400"],
        [{ ":method": "CONNECT", ":authority": "10.0.0.1:0" }, "400"],
        [{ ":method": "CONNECT", ":authority": "10.0.0.300:80" }, "400"],
        [{ ":method": "CONNECT", ":authority": "catalog.shop:80" }, "503"],
        [{ ":method": "CONNECT", ":authority": "[2001:db8::1]:80" }, "503"],
      ];
      for (const [headers, expected] of cases) {
        assert.equal(await status(session.request(headers)), expected, JSON.stringify(headers));
      }
      session.destroy();
      await mesh.close();
    });

    it("keeps early data for the accepted stream, and carries half-close both ways", async () => {
      const { mesh, session } = await nodeClient(backend, (request) => {
        setTimeout(() => {
          const stream = request.accept();
          let text = "";
          stream.start({
            onTunnelData: (pieces) => {
              text += Buffer.concat(pieces).toString();
              return "consumed";
            },
            onTunnelEnd: () => {
              stream.write(Buffer.from(`${text.length} ${text.slice(0, 5)}`));
              stream.end();
            },
            onTunnelWritable: () => undefined,
            onTunnelLoss: () => undefined,
          });
        }, 20);
      });
      const stream = session.request({ ":method": "CONNECT", ":authority": "10.0.0.1:80" });
      stream.end(Buffer.from("early".repeat(20_000)));
      let text = "";
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      await once(stream, "end");
      assert.equal(text, "100000 early");
      session.destroy();
      await mesh.close();
    });

    it("tells who waits for a verdict that the client gave up", async () => {
      const request = Promise.withResolvers<HboneRequest>();
      const { mesh, session } = await nodeClient(backend, request.resolve);
      const stream = session.request({ ":method": "CONNECT", ":authority": "10.0.0.1:80" });
      stream.on("error", () => undefined);
      const { signal } = await request.promise;
      stream.close(8);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      session.destroy();
      await mesh.close();
    });

    it("refuses a peer whom the verdict refuses, whatever it sends", async () => {
      const asked: unknown[] = [];
      const mesh = await hboneFixture({
        backend,
        onConnect: (request) => asked.push(request),
        server: {
          verifyPeer: (peer) => verifyClientPeer(peerChain(peer), { trustDomains: ["other.domain"] }),
        },
      });
      await assert.rejects(mesh.open({ ip: mesh.key.sourceIp, port: 80 }), { code: "HBONE_TLS_FAILED" });
      assert.match(String(await mesh.connections[0]?.done), /trust domain/);
      assert.deepEqual(asked, []);
      await mesh.close();
    });

    it("takes no new stream past the end of its own certificate", async () => {
      const { mesh, session } = await nodeClient(backend, (request) => void request.accept(), 1);
      const stream = session.request({ ":method": "CONNECT", ":authority": "10.0.0.1:80" });
      stream.on("error", () => undefined);
      await new Promise((resolve) => stream.on("close", resolve));
      assert.equal(stream.rstCode, 7);
      session.destroy();
      await mesh.close();
    });
  });
}

async function nodeClient(
  backend: HandleBackend,
  onConnect: (request: HboneRequest) => void,
  notAfterMs?: number,
): Promise<{ readonly mesh: HboneFixture; readonly session: ClientHttp2Session }> {
  const server = notAfterMs === undefined ? {} : { server: { notAfterMs } };
  const mesh = await hboneFixture({ backend, onConnect, ...server });
  const { port } = mesh.key.destination;
  const session = http2Connect(`https://127.0.0.1:${port}`, {
    createConnection: () =>
      tlsConnect({
        port,
        host: "127.0.0.1",
        ALPNProtocols: ["h2"],
        secureContext: clientContext(clientCertificate),
        checkServerIdentity: () => undefined,
      }),
  });
  session.on("error", () => undefined);
  await once(session, "connect");
  return { mesh, session };
}

async function status(stream: ClientHttp2Stream): Promise<string> {
  stream.on("error", () => undefined);
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  stream.resume();
  await once(stream, "close");
  return String(headers[":status"]);
}
