/** What a peer may try on a pod's tunnel port: each is refused, logged once, and disturbs nobody else. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as http2Connect } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import { parseTarget } from "#core/hbone/connect-request.ts";
import { HbonePool } from "#core/hbone/hbone-pool.ts";
import { relay } from "#core/hbone/relay.ts";
import type { WorkloadCertificate } from "#core/identity/certificate.ts";
import { createFileCa } from "#core/identity/file-ca.ts";
import { clientContext, HBONE_ALPN } from "#core/identity/tls-options.ts";
import { spiffeId } from "#core/model/spiffe-id.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import { describeError } from "#core/runtime/errors.ts";
import { clientCredentials } from "../proxy/credentials.ts";
import { client, echoServer, eventually, type TestServer } from "./apps.ts";
import { identityOf, serviceFor, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

const backend = chooseBackend();
const limits = { timeout: 30_000 };

interface Setting {
  readonly mesh: TestMesh;
  readonly node: TestNode;
  readonly pod: TestPod;
  readonly attacker: TestPod;
  readonly server: TestServer;
  /** Opens a tunnel to the pod with a certificate and an authority of the attacker's choice; the error, or "accepted". */
  readonly attempt: (authority: string, certificate?: WorkloadCertificate) => Promise<string>;
}

async function withPod(work: (setting: Setting) => Promise<void>): Promise<void> {
  const mesh = new TestMesh(backend);
  const node = mesh.node();
  const pod = await node.pod({ name: "victim" });
  const attacker = await mesh.node().pod({ name: "attacker" });
  const server = await echoServer(pod.address);
  const own = mesh.ca.issueNow(identityOf(attacker));
  const attempt = (authority: string, certificate = own): Promise<string> =>
    openTunnel(mesh, pod, { authority, certificate });
  try {
    await work({ mesh, node, pod, attacker, server, attempt });
    assert.deepEqual(node.problems(), []);
    // Nobody else was disturbed: an honest connection still works.
    const { service } = serviceFor(attacker, pod, server.port);
    const port = attacker.sockets.outboundPort;
    const app = client({ host: service.vips[0]?.ip ?? "", port, from: attacker.address });
    app.socket.end("still here");
    assert.deepEqual(await app.outcome, { kind: "ended", received: "still here" });
  } finally {
    await mesh.close();
    await server.close();
  }
}

interface Attack {
  readonly authority: string;
  readonly certificate: WorkloadCertificate;
}

async function openTunnel(mesh: TestMesh, pod: TestPod, { authority, certificate }: Attack): Promise<string> {
  const pool = new HbonePool({ backend });
  const target = parseTarget(authority);
  assert.ok(target.ok);
  const destination = { ip: pod.address, port: mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 0 };
  const expectedIdentities = [identityOf(pod)];
  const listening = Promise.withResolvers<void>();
  const listener = await backend.listen({ ip: pod.address, port: 0 }, 1, (handle) => {
    void pool
      .connect(
        { sourceIdentity: certificate.identity, sourceIp: pod.address, expectedIdentities, destination },
        { target: target.value },
        {
          connect: (to, signal) => backend.connect({ destination: to, timeoutMs: 2_000 }, signal),
          credentials: () => clientCredentials(certificate, expectedIdentities),
        },
        AbortSignal.timeout(5_000),
      )
      .then(async (stream) => describe((await relay(handle, stream).done).error))
      .catch((error: unknown) => {
        handle.reset();
        return describeError(error);
      })
      .then((text) => {
        outcome = text;
        listening.resolve();
      });
  });
  let outcome = "";
  const app = connect({ host: pod.address, port: listener.port });
  app.on("error", () => undefined);
  app.end("x");
  await listening.promise;
  app.destroy();
  listener.close();
  await pool.close();
  return outcome;
}

function describe(error: Error | undefined): string {
  return error === undefined ? "accepted" : describeError(error);
}

const authorities: readonly (readonly [string, (s: Setting) => string, RegExp])[] = [
  ["another pod's address", (s) => `${s.attacker.address}:80`, /status 400/],
  ["an address of nobody", () => "203.0.113.9:80", /status 400/],
  ["loopback", () => "127.0.0.1:15000", /status 400/],
  ["ztunnel's plaintext port", (s) => `${s.pod.address}:15006`, /status 503/],
  ["ztunnel's tunnel port", (s) => `${s.pod.address}:15008`, /status 503/],
  ["a name that nobody has", () => "nobody.example:80", /status 503/],
  ["a port without an application", (s) => `${s.pod.address}:1`, /status 503/],
];

for (const [name, authority, expected] of authorities) {
  test(`an authority of ${name} is refused`, limits, () =>
    withPod(async (setting) => {
      assert.match(await setting.attempt(authority(setting)), expected);
      assert.equal(setting.server.clients.length, 0);
      const line = await eventually("a line", () => setting.node.access()[0]);
      assert.notEqual(line["error"], undefined);
      assert.equal(line["src.identity"], identityOf(setting.attacker));
    }),
  );
}

test("a certificate of another root is refused in the handshake", limits, () =>
  withPod(async ({ node, pod, server, attempt, attacker }) => {
    const foreign = createFileCa({ trustDomain: "cluster.local" });
    const certificate = { ...foreign.issueNow(identityOf(attacker)), rootsPem: [pod.node.mesh.ca.rootPem] };
    assert.notEqual(await attempt(`${pod.address}:${server.port}`, certificate), "accepted");
    const line = await eventually("a line", () => node.access()[0]);
    assert.equal(line["src.identity"], undefined);
    assert.equal(line["stage"], "I2");
    assert.match(await node.scrape(), /ambit_tunnels_refused_total 1/);
  }),
);

test("an identity of another trust domain under our root is refused", limits, () =>
  withPod(async ({ mesh, node, pod, server, attempt }) => {
    const { rootPem, rootKeyPem } = mesh.ca;
    const ca = createFileCa({ trustDomain: "cluster.local", rootPem, rootKeyPem });
    const stranger = ca.issueNow(
      spiffeId({ trustDomain: "evil", namespace: "default", serviceAccount: "a" }),
    );
    assert.notEqual(await attempt(`${pod.address}:${server.port}`, stranger), "accepted");
    const line = await eventually("a line", () => node.access()[0]);
    assert.match(String(line["error"]), /trust domain|evil/);
    assert.match(await node.scrape(), /ambit_tunnels_refused_total 1/);
  }),
);

test("plaintext on the tunnel port gets nothing", limits, () =>
  withPod(async ({ mesh, node, pod, attacker, server }) => {
    const port = mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 0;
    const app = client({ host: pod.address, port, from: attacker.address });
    app.socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    const { received } = await app.outcome;
    assert.ok(!received.includes("HTTP"));
    assert.equal(server.clients.length, 0);
    await eventually("a line", () => node.access()[0]);
    assert.match(await node.scrape(), /ambit_tunnels_refused_total 1/);
  }),
);

test("one source's silent handshakes do not keep others out", limits, () =>
  withPod(async ({ mesh, node, pod, server, attempt }) => {
    const port = mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 0;
    const silent = Array.from({ length: 40 }, () =>
      connect({ host: pod.address, port, localAddress: "127.0.0.9" }),
    );
    for (const socket of silent) socket.on("error", () => undefined);
    await eventually("the excess to be cut off", () => silent.filter((s) => s.closed).length === 24);
    assert.equal(await attempt(`${pod.address}:${server.port}`), "accepted");
    assert.match(await node.scrape(), /ambit_handshakes_refused_total 24/);
    for (const socket of silent) socket.destroy();
  }),
);

/** After a good handshake: bytes on the tunnel, and what the other end still said until it closed. */
function insideTunnel(s: Setting, bytes: Uint8Array): Promise<void> {
  const { pod, mesh, attacker } = s;
  const certificate = mesh.ca.issueNow(identityOf(attacker));
  return new Promise((resolve) => {
    const socket = tlsConnect({
      host: pod.address,
      port: mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 0,
      secureContext: clientContext(certificate),
      ALPNProtocols: [...HBONE_ALPN],
      checkServerIdentity: () => undefined,
    });
    socket.on("secureConnect", () => socket.write(bytes));
    socket.on("error", () => undefined).on("close", () => resolve());
    socket.resume();
  });
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frame = (type: number, flags: number, stream: number, payload: readonly number[]): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.set([type, flags], 3);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.from(payload)]);
};
const settings = frame(4, 0, 0, []);
const violations: readonly (readonly [string, Uint8Array])[] = [
  ["a preface of HTTP/1", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
  ["DATA before SETTINGS", Buffer.concat([preface, frame(0, 0, 1, [1])])],
  [
    "a header block that is no HPACK",
    Buffer.concat([preface, settings, frame(1, 5, 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])]),
  ],
  ["DATA on a stream that nobody opened", Buffer.concat([preface, settings, frame(0, 0, 9, [1])])],
];
for (const [name, bytes] of violations) {
  test(`${name} inside an accepted tunnel ends it, with one line and a count`, limits, () =>
    withPod(async (setting) => {
      await insideTunnel(setting, bytes);
      const said = await eventually("a count", async () => {
        const text = await setting.node.scrape();
        return text.includes("ambit_tunnel_violations_total 1") ? text : undefined;
      });
      assert.match(said, /ambit_tunnels_refused_total 0/);
      assert.equal(setting.server.clients.length, 0);
    }),
  );
}

test("a request that is no tunnel is answered 400, counted, and the tunnel lives on", limits, () =>
  withPod(async (setting) => {
    const { node, pod, mesh, attacker } = setting;
    const session = http2Connect("https://tunnel", {
      createConnection: () =>
        tlsConnect({
          host: pod.address,
          port: mesh.ports.get(`${pod.address}:${HBONE_PORT}`) ?? 0,
          secureContext: clientContext(mesh.ca.issueNow(identityOf(attacker))),
          ALPNProtocols: [...HBONE_ALPN],
          checkServerIdentity: () => undefined,
        }),
    });
    for (const headers of [
      { ":method": "GET", ":path": "/" },
      { ":method": "CONNECT", ":authority": "no-port" },
    ]) {
      const stream = session.request(headers);
      stream.on("error", () => undefined);
      const [answer] = (await once(stream, "response")) as [Record<string, unknown>];
      assert.equal(answer[":status"], 400);
    }
    assert.match(await node.scrape(), /ambit_tunnel_violations_total 2/);
    session.destroy();
  }),
);
