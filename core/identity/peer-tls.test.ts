/** Who gets through a real TLS handshake and the judgement after it. Negative cases first. */
import assert from "node:assert/strict";
import { type KeyObject, X509Certificate } from "node:crypto";
import net from "node:net";
import { after, before, test } from "node:test";
import tls from "node:tls";
import { type SpiffeId, spiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import {
  buildCertificate,
  buildRoot,
  type CertificateSpec,
  type SigningCa,
  spkiOf,
} from "./build-certificate.ts";
import type { WorkloadCertificate } from "./certificate.ts";
import { createFileCa, exportKey, type FileCa, newKeyPair } from "./file-ca.ts";
import type { PeerVerdict } from "./peer-verdict.ts";
import {
  clientContext,
  HBONE_ALPN,
  peerChain,
  serverContext,
  verifyClientPeer,
  verifyServerPeer,
} from "./tls-options.ts";

const DAY_MS = 86_400_000;
const WEB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
const DB = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "db" });
const FOREIGN_DOMAIN = spiffeId({ trustDomain: "evil.test", namespace: "shop", serviceAccount: "web" });

const ca: FileCa = createFileCa({ trustDomain: "cluster.local" });
const otherCa: FileCa = createFileCa({ trustDomain: "cluster.local" });
const web: WorkloadCertificate = ca.issueNow(WEB);

interface Outcome {
  readonly server: string;
  readonly client: string;
  readonly protocol: string | null;
  readonly cipher: string;
}

const server = net.createServer();
let nextServer: ((tcp: net.Socket) => void) | undefined;
before(async () => {
  server.on("connection", (tcp) => nextServer?.(tcp));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => server.close());

function words(verdict: PeerVerdict): string {
  return verdict.kind === "accepted" ? `accepted ${verdict.identity}` : `refused ${verdict.reason}`;
}

/** The server's judgement of the client; "tls: ..." when the handshake itself refuses. */
function judgeClient(tcp: net.Socket, certificate: WorkloadCertificate): Promise<string> {
  return new Promise((resolve) => {
    const socket = new tls.TLSSocket(tcp, {
      isServer: true,
      secureContext: serverContext(certificate),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [...HBONE_ALPN],
    });
    socket.on("error", (error) => resolve(`tls: ${error.message}`));
    socket.on("close", () => resolve("tls: the client went away"));
    socket.on("secure", () => {
      // A hand-made TLSSocket enforces nothing by itself.
      const problem = (socket as unknown as { ssl: { verifyError(): Error | null } }).ssl.verifyError();
      const leaf: X509Certificate | undefined = socket.getPeerX509Certificate();
      if (problem !== null || leaf === undefined) resolve(`tls: ${problem?.message ?? "no certificate"}`);
      else resolve(words(verifyClientPeer(peerChain(leaf), { trustDomains: ["cluster.local"] })));
      socket.end();
    });
  });
}

async function handshake(
  serverSide: WorkloadCertificate,
  clientSide: WorkloadCertificate | undefined,
  expected: readonly SpiffeId[] = [WEB],
): Promise<Outcome> {
  const atServer = new Promise<string>((resolve) => {
    nextServer = (tcp) => void judgeClient(tcp, serverSide).then(resolve);
  });
  const { port } = server.address() as net.AddressInfo;
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    secureContext: clientSide === undefined ? certificateless() : clientContext(clientSide),
    checkServerIdentity: () => undefined,
    ALPNProtocols: [...HBONE_ALPN],
  });
  const atClient = new Promise<string>((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`tls: ${error.code ?? error.message}`));
    socket.on("secureConnect", () => {
      const leaf = socket.getPeerX509Certificate();
      if (leaf === undefined) resolve("tls: no certificate");
      else resolve(words(verifyServerPeer(peerChain(leaf), { expectedIdentities: expected })));
    });
  });
  const client = await atClient;
  const protocol = socket.getProtocol();
  const cipher = client.startsWith("tls") ? "" : socket.getCipher().name;
  const outcome = { client, protocol, cipher, server: await atServer };
  socket.destroy();
  return outcome;
}

function certificateless(): tls.SecureContext {
  return tls.createSecureContext({ ca: ca.rootPem, minVersion: "TLSv1.3" });
}

/** A certificate of any form under `signer`, followed in the chain by `above`. */
function custom(
  given: Partial<CertificateSpec>,
  signer: SigningCa = ca.signer,
  above: readonly string[] = [],
): WorkloadCertificate & { readonly key: KeyObject; readonly leafPem: string } {
  const { privateKey } = newKeyPair();
  const leafPem = buildCertificate(signer, {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + DAY_MS,
    organization: "",
    isCa: false,
    uris: [WEB],
    dnsNames: [],
    purposes: ["server", "client"],
    ...given,
  });
  const chainPem = [leafPem, ...above].join("");
  return { ...web, chainPem, keyPem: exportKey(privateKey), key: privateKey, leafPem };
}

/** What the peer must see, whichever side presents the certificate. */
interface BadCase {
  readonly name: string;
  readonly make: () => WorkloadCertificate;
  readonly refusal: RegExp;
}

function underWorkload(isCa: boolean): WorkloadCertificate {
  const holder = custom({ isCa, organization: "holder" });
  const signer: SigningCa = { certificatePem: holder.leafPem, key: holder.key };
  return custom({ uris: [DB] }, signer, [holder.leafPem]);
}

/** The holder's own certificate hidden behind a decoy: TLS finds its path whatever the order. */
function underWorkloadWithDecoy(): WorkloadCertificate {
  const holder = custom({ isCa: true, organization: "holder" });
  const signer: SigningCa = { certificatePem: holder.leafPem, key: holder.key };
  return custom({ uris: [WEB] }, signer, [ca.rootPem, holder.leafPem]);
}

function sameNameRoot(): WorkloadCertificate {
  const { privateKey } = newKeyPair();
  const options = {
    organization: "cluster.local",
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + DAY_MS,
  };
  return custom({}, { certificatePem: buildRoot(privateKey, options), key: privateKey });
}

const BAD: readonly BadCase[] = [
  { name: "two URI names", make: () => custom({ uris: [WEB, DB] }), refusal: /2 URI names/ },
  { name: "the same URI twice", make: () => custom({ uris: [WEB, WEB] }), refusal: /2 URI names/ },
  { name: "no name", make: () => custom({ uris: [], organization: "x" }), refusal: /0 URI names/ },
  {
    name: "a DNS name alone",
    make: () => custom({ uris: [], dnsNames: ["web.shop"] }),
    refusal: /0 URI names/,
  },
  { name: "a CA as leaf", make: () => custom({ isCa: true, organization: "x" }), refusal: /leaf is a CA/ },
  {
    name: "a chain under a workload that says CA:true",
    make: () => underWorkload(true),
    refusal: /workload's and must not issue/,
  },
  {
    name: "the same behind a decoy",
    make: underWorkloadWithDecoy,
    refusal: /does not belong to the chain|must not issue/,
  },
  {
    name: "a chain under an ordinary workload",
    make: () => underWorkload(false),
    refusal: /^tls: /,
  },
  { name: "no key purpose", make: () => custom({ purposes: [] }), refusal: /lacks the key purpose/ },
  {
    name: "another form of SPIFFE id",
    make: () => custom({ uris: ["spiffe://cluster.local/workload/web"] }),
    refusal: /is not spiffe:/,
  },
  {
    name: "an http URI",
    make: () => custom({ uris: ["https://cluster.local/"] }),
    refusal: /is not spiffe:/,
  },
  {
    name: "a foreign CA",
    make: () => ({ ...otherCa.issueNow(WEB), rootsPem: [ca.rootPem] }),
    refusal: /^tls: /,
  },
  { name: "a root of the same name with another key", make: sameNameRoot, refusal: /^tls: / },
  {
    name: "an expired certificate",
    make: () => custom({ notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() - 60_000 }),
    refusal: /^tls: .*expired/i,
  },
  {
    name: "a certificate of the future",
    make: () => custom({ notBeforeMs: Date.now() + DAY_MS / 2 }),
    refusal: /^tls: .*not.?yet/i,
  },
];

for (const { name, make, refusal } of BAD) {
  test(`a server refuses a client with ${name}`, async () => {
    assert.match((await handshake(web, make())).server, refusal);
  });
  test(`a client refuses a server with ${name}`, async () => {
    assert.match((await handshake(make(), web, [WEB, DB])).client, refusal);
  });
}

test("a server refuses a client without a certificate", async () => {
  assert.match((await handshake(web, undefined)).server, /^tls: /);
});

test("a server refuses a client of another trust domain", async () => {
  const outcome = await handshake(web, custom({ uris: [FOREIGN_DOMAIN] }));
  assert.match(outcome.server, /refused trust domain "evil.test" is not ours/);
});

test("a peer of an alias of our trust domain is believed where the alias is configured, and only there", () => {
  const { leafPem } = custom({ uris: [FOREIGN_DOMAIN] });
  const chain = peerChain(new X509Certificate(leafPem));
  const judge = (...trustDomains: readonly string[]): string =>
    words(verifyClientPeer(chain, { trustDomains }));
  assert.match(judge("cluster.local"), /refused trust domain/);
  assert.match(judge(), /refused trust domain/);
  assert.equal(judge("cluster.local", "evil.test"), `accepted ${FOREIGN_DOMAIN}`);
});

test("a client refuses a server that is not the one it meant", async () => {
  assert.match((await handshake(ca.issueNow(DB), web, [WEB])).client, /refused peer is .*db, expected .*web/);
  assert.match((await handshake(web, web, [])).client, /refused .*expected nobody/);
});

test("each side refuses a certificate for the other side's use", async () => {
  const serverOnly = custom({ purposes: ["server"] });
  const clientOnly = custom({ purposes: ["client"] });
  assert.match((await handshake(web, serverOnly)).server, /^tls: |lacks the key purpose/);
  assert.match((await handshake(clientOnly, web)).client, /^tls: |lacks the key purpose/);
});

test("no context is made without a parsed root", () => {
  const damaged = ca.rootPem.replace("MI", "XX");
  const sets: readonly (readonly string[])[] = [[], [""], ["no pem"], [damaged], [web.chainPem]];
  for (const rootsPem of sets) {
    const certificate = { ...web, rootsPem };
    for (const make of [serverContext, clientContext]) {
      assert.throws(
        () => make(certificate),
        (error) => error instanceof AmbitError && error.code === "IDENTITY_NO_ROOT",
      );
    }
  }
});

test("a client that speaks TLS 1.2 at most is refused", async () => {
  nextServer = (tcp) => void judgeClient(tcp, web);
  const { port } = server.address() as net.AddressInfo;
  const options = { key: web.keyPem, cert: web.chainPem, ca: ca.rootPem, maxVersion: "TLSv1.2" } as const;
  const old = tls.connect({ port, host: "127.0.0.1", ...options });
  const code = await new Promise<string>((resolve) => {
    old.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    old.on("secureConnect", () => resolve("connected"));
  });
  assert.match(code, /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/);
  old.destroy();
});

test("two workloads of the mesh accept each other with TLS 1.3 and AES-256", async () => {
  const outcome = await handshake(web, ca.issueNow(DB));
  assert.deepEqual(outcome, {
    server: `accepted ${DB}`,
    client: `accepted ${WEB}`,
    protocol: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
  });
});

test("a chain through an intermediate CA is accepted, whether the root is sent or not", async () => {
  const middle = custom({ isCa: true, organization: "intermediate", uris: [], purposes: [] });
  const signer: SigningCa = { certificatePem: middle.leafPem, key: middle.key };
  for (const above of [[middle.leafPem], [middle.leafPem, ca.rootPem]]) {
    const leaf = custom({ uris: [DB] }, signer, above);
    assert.equal((await handshake(web, leaf)).server, `accepted ${DB}`);
    assert.equal((await handshake(leaf, web, [DB])).client, `accepted ${DB}`);
  }
});

test("an expired root beside the valid one does no harm", async () => {
  const expired = buildRoot(newKeyPair().privateKey, {
    organization: "cluster.local",
    notBeforeMs: Date.now() - 2 * DAY_MS,
    notAfterMs: Date.now() - DAY_MS,
  });
  const both = { ...web, rootsPem: [expired, ca.rootPem] };
  assert.equal((await handshake(both, ca.issueNow(DB))).server, `accepted ${DB}`);
});

test("no session is resumed, so that every connection proves its key", async () => {
  const { port } = server.address() as net.AddressInfo;
  const dial = (session: Buffer | undefined): Promise<{ reused: boolean; session: Buffer | undefined }> =>
    new Promise((resolve, reject) => {
      nextServer = (tcp) => void judgeClient(tcp, web);
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        secureContext: clientContext(web),
        checkServerIdentity: () => undefined,
        ...(session === undefined ? {} : { session }),
      });
      let ticket: Buffer | undefined;
      let reused = true;
      socket.on("secureConnect", () => (reused = socket.isSessionReused()));
      socket.on("session", (next: Buffer) => (ticket = next));
      socket.on("error", reject);
      socket.on("close", () => resolve({ reused, session: ticket }));
      socket.resume();
    });
  const first = await dial(undefined);
  const second = await dial(first.session);
  assert.ok(first.session !== undefined, "OpenSSL hands out sessions; they must not work");
  assert.deepEqual([first.reused, second.reused], [false, false]);
});

test("a revoked certificate is refused by issuer and serial", async () => {
  const { port } = server.address() as net.AddressInfo;
  const db = ca.issueNow(DB);
  const chain = await new Promise<readonly Uint8Array[]>((resolve, reject) => {
    nextServer = (tcp) => void judgeClient(tcp, db);
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      secureContext: clientContext(web),
      checkServerIdentity: () => undefined,
    });
    socket.on("error", reject);
    socket.on("secureConnect", () => {
      const leaf = socket.getPeerX509Certificate();
      if (leaf !== undefined) resolve(peerChain(leaf));
      socket.destroy();
    });
  });
  const asked: string[] = [];
  const revoked = {
    isRevoked: (_issuer: string, serial: string): boolean => {
      asked.push(serial);
      return serial === db.serial;
    },
  };
  assert.match(words(verifyServerPeer(chain, { expectedIdentities: [DB], revoked })), /is revoked/);
  assert.match(words(verifyClientPeer(chain, { trustDomains: ["cluster.local"], revoked })), /is revoked/);
  assert.deepEqual([...new Set(asked)], [db.serial]);
  const accepted = verifyServerPeer(chain, { expectedIdentities: [DB], revoked: { isRevoked: () => false } });
  assert.deepEqual(accepted, {
    kind: "accepted",
    identity: DB,
    serial: db.serial,
    notAfterMs: db.notAfterMs,
  });
});
