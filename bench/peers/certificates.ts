/** Certificates of the peers: one P-256 CA, a leaf per side with a DNS name and both purposes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildCertificate, spkiOf } from "#core/identity/build-certificate.ts";
import { createFileCa, exportKey, type FileCa, newKeyPair } from "#core/identity/file-ca.ts";
import type { CertificatePaths, PeerCertificates } from "./peer.ts";

const SERVER_NAME = "bench.test";
const DAY_MS = 86_400_000;

export function writePeerCertificates(directory: string): PeerCertificates {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ca = createFileCa({ trustDomain: SERVER_NAME });
  const caPath = join(directory, "ca.pem");
  writeFileSync(caPath, ca.rootPem);
  return {
    caPath,
    serverName: SERVER_NAME,
    a: writeLeaf(directory, "a", ca),
    b: writeLeaf(directory, "b", ca),
  };
}

function writeLeaf(directory: string, name: string, ca: FileCa): CertificatePaths {
  const { privateKey } = newKeyPair();
  const now = Date.now();
  const certificate = buildCertificate(ca.signer, {
    publicKeyDer: spkiOf(privateKey),
    notBeforeMs: now - DAY_MS / 24,
    notAfterMs: now + DAY_MS,
    organization: "bench",
    isCa: false,
    uris: [],
    dnsNames: [SERVER_NAME],
    purposes: ["server", "client"],
  });
  return writePair(directory, name, certificate, exportKey(privateKey));
}

/** The files that `name` has from now on; keys are readable by the owner only. */
export function writePair(
  directory: string,
  name: string,
  certificate: string,
  key: string,
): CertificatePaths {
  const paths = {
    certificatePath: join(directory, `${name}.pem`),
    keyPath: join(directory, `${name}.key`),
    bothPath: join(directory, `${name}.both`),
  };
  writeFileSync(paths.certificatePath, certificate);
  writeFileSync(paths.keyPath, key, { mode: 0o600 });
  writeFileSync(paths.bothPath, certificate + key, { mode: 0o600 });
  return paths;
}
