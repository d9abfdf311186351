import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { ip } from "#core/net/ip.ts";
import { writePeerCertificates } from "../peers/certificates.ts";
import { upstreamContext } from "./upstream-context.ts";

test("who comes with the session of an earlier connection, as proxies do, is answered as anybody", async (t) => {
  const { port, files } = await upstream(t);
  let session: Buffer | undefined;
  for (const round of [1, 2, 3]) {
    const socket = connect({
      host: "127.0.0.1",
      port,
      ca: files.ca,
      cert: files.cert,
      key: files.key,
      checkServerIdentity: () => undefined,
      ...(session === undefined ? {} : { session }),
    });
    socket.on("session", (ticket: Buffer) => (session = ticket));
    assert.equal(await said(socket), "hello", `connection ${round}`);
    assert.equal(socket.isSessionReused(), false);
    socket.destroy();
    // Without a session to come with, nothing would have been shown.
    assert.ok(session !== undefined);
  }
});

interface Upstream {
  readonly port: number;
  readonly files: Record<"ca" | "cert" | "key", string>;
}

async function upstream(t: TestContext): Promise<Upstream> {
  const directory = mkdtempSync(join(tmpdir(), "ambit-bench-test-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const { caPath, b } = writePeerCertificates(directory);
  const read = (path: string): string => readFileSync(path, "utf8");
  const files = { ca: read(caPath), cert: read(b.certificatePath), key: read(b.keyPath) };
  const context = upstreamContext(files);
  const backend = chooseBackend();
  const listener = await backend.listen({ ip: ip("127.0.0.1"), port: 0 }, 16, (tcp) => {
    backend.tlsServer(tcp, { context, handshakeTimeoutMs: 5_000 }).then(
      (handle) => {
        handle.start({
          onData: () => undefined,
          onEnd: () => handle.shutdown(),
          onDrain: () => undefined,
          onClose: () => undefined,
        });
        handle.write(Buffer.from("hello"));
      },
      () => undefined,
    );
  });
  t.after(() => listener.close());
  return { port: listener.port, files };
}

async function said(socket: TLSSocket): Promise<string> {
  const [bytes] = (await once(socket, "data", { signal: AbortSignal.timeout(5_000) })) as [Buffer];
  return bytes.toString("latin1");
}
