/**
 * What an accepted peer may send inside its tunnel, and who may not open one: each is refused, counted, and disturbs
 * neither the other streams of the tunnel nor anybody else.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect as tlsConnect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { chooseBackend } from "#core/handle/choose-handle.ts";
import {
  buildCertificate,
  type CertificateSpec,
  type SigningCa,
  spkiOf,
} from "#core/identity/build-certificate.ts";
import { createFileCa, exportKey, newKeyPair } from "#core/identity/file-ca.ts";
import { clientContext, HBONE_ALPN } from "#core/identity/tls-options.ts";
import { HBONE_PORT } from "#core/model/well-known.ts";
import {
  connectBlock,
  data,
  frame,
  headers,
  literal,
  parseFrames,
  PREFACE,
  settings,
  summary,
} from "#core/testing/frames.ts";
import { echoServer, eventually, type TestServer } from "./apps.ts";
import { identityOf, type LogLine, TestMesh, type TestNode, type TestPod } from "./test-mesh.ts";

const limits = { timeout: 30_000 };
const HOUR_MS = 3_600_000;

let mesh: TestMesh;
let node: TestNode;
let victim: TestPod;
let attacker: TestPod;
let app: TestServer;

before(async () => {
  mesh = new TestMesh(chooseBackend());
  node = mesh.node();
  victim = await node.pod({ name: "victim" });
  attacker = await mesh.node().pod({ name: "attacker" });
  app = await echoServer(victim.address);
});
after(async () => {
  await mesh.close();
  await app.close();
  assert.deepEqual(node.problems(), []);
});

function dial(secureContext: SecureContext): TLSSocket {
  const socket = tlsConnect({
    host: victim.address,
    port: mesh.ports.get(`${victim.address}:${HBONE_PORT}`) ?? 0,
    secureContext,
    ALPNProtocols: [...HBONE_ALPN],
    checkServerIdentity: () => undefined,
  });
  socket.on("error", () => undefined);
  return socket;
}

/** Frames that the victim's ztunnel answers, until `enough` holds or it closes. */
function answers(
  socket: TLSSocket,
  enough: (text: readonly string[]) => boolean,
): Promise<readonly string[]> {
  const chunks: Buffer[] = [];
  const seen = (): string[] => summary(parseFrames(Buffer.concat(chunks)));
  return new Promise((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (enough(seen())) resolve(seen());
    });
    socket.on("close", () => resolve(seen()));
  });
}

async function count(name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await node.scrape())?.[1] ?? Number.NaN);
}

/** Lines about tunnels that never came up. */
const refusals = (): readonly LogLine[] => node.access().filter((line) => line["stage"] === "I2");

const target = (): string => `${victim.address}:${app.port}`;
const open = (id: number, extra: Uint8Array = Buffer.alloc(0)): Buffer =>
  headers(id, Buffer.concat([connectBlock(target()), extra]));
const own = (): SecureContext => clientContext(mesh.ca.issueNow(identityOf(attacker)));

const breaches: readonly (readonly [string, () => Buffer, string])[] = [
  ["no authority", () => headers(1, literal(":method", "CONNECT")), "RST 1 1"],
  ["no method", () => headers(1, literal(":authority", target())), "RST 1 1"],
  ["two authorities", () => open(1, literal(":authority", "10.0.0.1:80")), "RST 1 1"],
  ["an upper-case name", () => open(1, literal("Foo", "x")), "RST 1 1"],
  ["a connection header", () => open(1, literal("connection", "close")), "RST 1 1"],
  ["a line break in a value", () => open(1, literal("baggage", "a\r\nforwarded: b")), "RST 1 1"],
  ["extended CONNECT", () => open(1, literal(":protocol", "websocket")), "RST 1 1"],
  ["an HPACK bomb", () => headers(1, bomb()), "RST 1 11"],
  [
    "DATA beyond the stream's window",
    () => Buffer.concat([open(1), data(1, Buffer.alloc((1 << 18) + 1))]),
    "RST 1 3",
  ],
  ["DATA after the end", () => Buffer.concat([open(1), data(1, "x", 1), data(1, "y")]), "RST 1 5"],
  ["trailers that end nothing", () => Buffer.concat([open(1), headers(1, literal("a", "b"))]), "RST 1 1"],
];

for (const [name, bytes, expected] of breaches) {
  test(
    `${name}: that stream alone is reset, it is counted, and the tunnel's next stream is served`,
    limits,
    async () => {
      const before = await count("ambit_tunnel_violations_total");
      const socket = dial(own());
      const seen = answers(socket, (text) => text.includes(expected) && text.includes("DATA 3 5"));
      socket.write(Buffer.concat([PREFACE, settings(), bytes(), open(3), data(3, "alive")]));
      assert.ok((await seen).includes(expected), JSON.stringify(await seen));
      assert.ok((await seen).includes("DATA 3 5"), "the echo of another stream");
      assert.equal(await count("ambit_tunnel_violations_total"), before + 1);
      socket.destroy();
    },
  );
}

const ends: readonly (readonly [string, () => Buffer, string])[] = [
  ["a frame above the announced size", () => frame(0, 0, 1, Buffer.alloc((1 << 20) + 1)), "GOAWAY 6"],
  [
    "a header block without end",
    () =>
      Buffer.concat([
        headers(1, Buffer.alloc(16_000, 0), 0),
        ...Array.from({ length: 9 }, () => frame(9, 0, 1, Buffer.from([0x80]))),
      ]),
    "GOAWAY 11",
  ],
  [
    "a flood of opened and reset streams",
    () =>
      Buffer.concat(
        Array.from({ length: 3_000 }, (_, i) =>
          Buffer.concat([open(2 * i + 1), frame(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8]))]),
        ),
      ),
    "GOAWAY 11",
  ],
  [
    "a flood of control frames",
    () => Buffer.concat(Array.from({ length: 12_000 }, () => frame(2, 0, 1, Buffer.alloc(5)))),
    "GOAWAY 11",
  ],
  ["an HPACK index that is not there", () => headers(1, Buffer.from([0xbf])), "GOAWAY 9"],
];

for (const [name, bytes, expected] of ends) {
  test(`${name}: the tunnel ends with its reason, and it is counted`, limits, async () => {
    const before = await count("ambit_tunnel_violations_total");
    const socket = dial(own());
    const seen = answers(socket, () => false);
    socket.write(Buffer.concat([PREFACE, settings(), bytes()]));
    assert.ok((await seen).includes(expected), JSON.stringify((await seen).slice(-5)));
    await eventually("a count", async () =>
      (await count("ambit_tunnel_violations_total")) > before ? true : undefined,
    );
    await serves();
  });
}

/** An honest tunnel still works. */
async function serves(): Promise<void> {
  const socket = dial(own());
  const seen = answers(socket, (text) => text.includes("DATA 1 5"));
  socket.write(Buffer.concat([PREFACE, settings(), open(1), data(1, "alive")]));
  assert.ok((await seen).includes("DATA 1 5"));
  socket.destroy();
}

interface Forgery {
  readonly leafPem: string;
  readonly context: SecureContext;
  readonly signer: SigningCa;
}

/** A certificate of any form, under the mesh's root unless told otherwise. */
function forge(
  given: Partial<CertificateSpec> = {},
  signer: SigningCa = mesh.ca.signer,
  above = "",
): Forgery {
  const { privateKey } = newKeyPair();
  const leafPem = buildCertificate(signer, {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + HOUR_MS,
    organization: "",
    isCa: false,
    uris: [identityOf(attacker)],
    dnsNames: [],
    purposes: ["server", "client"],
    ...given,
  });
  const options = {
    cert: leafPem + above,
    key: exportKey(privateKey),
    ca: mesh.ca.rootPem,
    minVersion: "TLSv1.3",
  } as const;
  return {
    leafPem,
    context: createSecureContext(options),
    signer: { certificatePem: leafPem, key: privateKey },
  };
}

function under(isCa: boolean): SecureContext {
  const holder = forge({ isCa, organization: "holder" });
  return forge({}, holder.signer, holder.leafPem).context;
}

const strangers: readonly (readonly [string, () => SecureContext])[] = [
  ["no certificate", () => createSecureContext({ ca: mesh.ca.rootPem, minVersion: "TLSv1.3" })],
  ["a foreign root", () => forge({}, createFileCa({ trustDomain: "cluster.local" }).signer).context],
  [
    "an expired certificate",
    () => forge({ notBeforeMs: Date.now() - 2 * HOUR_MS, notAfterMs: Date.now() - HOUR_MS }).context,
  ],
  ["a certificate of tomorrow", () => forge({ notBeforeMs: Date.now() + HOUR_MS / 2 }).context],
  ["two identities", () => forge({ uris: [identityOf(attacker), identityOf(victim)] }).context],
  ["no identity", () => forge({ uris: [], organization: "x" }).context],
  ["another trust domain", () => forge({ uris: ["spiffe://evil.example/ns/default/sa/attacker"] }).context],
  ["a leaf that is a CA", () => forge({ isCa: true, organization: "x" }).context],
  ["a chain under a leaf that is a CA", () => under(true)],
  ["a chain under an ordinary leaf", () => under(false)],
  ["no key purpose", () => forge({ purposes: [] }).context],
];

for (const [name, context] of strangers) {
  test(`${name}: no stream is served, one line and one count say so`, limits, async () => {
    const [counted, lines] = [await count("ambit_tunnels_refused_total"), refusals().length];
    const socket = dial(context());
    const seen = answers(socket, (text) => text.some((each) => each.startsWith("HEADERS")));
    socket.write(Buffer.concat([PREFACE, settings(), open(1)]));
    assert.deepEqual(
      (await seen).filter((each) => each.startsWith("HEADERS")),
      [],
    );
    await eventually("a line", () => (refusals().length > lines ? true : undefined));
    assert.equal(await count("ambit_tunnels_refused_total"), counted + 1);
    assert.equal(refusals().length, lines + 1);
    assert.notEqual(refusals().at(-1)?.["error"], undefined);
  });
}

/** One large entry, indexed once and then named many times. */
function bomb(): Buffer {
  const value = Buffer.alloc(3_900, 0x61);
  const rest = value.length - 127;
  const entry = Buffer.concat([Buffer.from([0x40, 1, 0x62, 0x7f, (rest & 127) | 128, rest >> 7]), value]);
  return Buffer.concat([connectBlock(target()), entry, Buffer.alloc(100, 0xbe)]);
}
