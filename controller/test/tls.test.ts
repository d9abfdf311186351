/** Port 15012 as a TLS server: one version, our names, our CA, no client certificate. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { type Harness, startHarness } from "./harness.ts";

let h: Harness;
before(async () => {
  h = await startHarness();
});
after(() => h.stop());

function dial(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "localhost",
      port: h.controller.ports().grpc,
      ca: h.rootsPem(),
      servername: "istiod.istio-system.svc",
      ALPNProtocols: ["h2"],
      ...options,
    });
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

test("TLS 1.2 and ciphers other than AES-GCM are refused", async () => {
  await assert.rejects(dial({ maxVersion: "TLSv1.2" }));
  await assert.rejects(dial({ ciphers: "TLS_CHACHA20_POLY1305_SHA256" }));
});

test("a client that trusts another root, or asks for another name, ends the handshake", async () => {
  await assert.rejects(dial({ ca: [] }));
  await assert.rejects(dial({ servername: "elsewhere.example" }));
});

test("the certificate is of our CA, for the service's names, and h2 is agreed", async () => {
  const socket = await dial({});
  const { subjectaltname } = socket.getPeerCertificate();
  for (const name of [
    "istiod.istio-system.svc",
    "istiod.istio-system.svc.cluster.local",
    "istiod.istio-system",
  ]) {
    assert.ok(subjectaltname?.includes(`DNS:${name}`), name);
  }
  assert.equal(socket.getProtocol(), "TLSv1.3");
  assert.equal(socket.alpnProtocol, "h2");
  socket.destroy();
});
