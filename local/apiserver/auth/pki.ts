/**
 * The cluster's keys on disk (directory 0700, files 0600): authority, serving certificate, admin certificate, token key. All of
 * them survive a restart, or every client would fail for ever; the serving certificate is renewed when its names change.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { issueLeaf, type KeyAndCertificate, makeAuthority } from "./certificate.ts";

export interface Pki {
  readonly authority: KeyAndCertificate;
  readonly serving: KeyAndCertificate;
  readonly admin: KeyAndCertificate;
  /** Signs service account tokens. */
  readonly tokenKey: KeyObject;
}

const RENEW_BEFORE_MS = 30 * 86_400_000;

export function loadPki(directory: string, hosts: readonly string[], nowMs: number): Pki {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const authority = keep(
    directory,
    "ca",
    () => makeAuthority(nowMs),
    () => true,
  );
  const names = createHash("sha256").update(hosts.toSorted().join("\n")).digest("hex").slice(0, 16);
  const fresh = (pair: KeyAndCertificate): boolean =>
    Date.parse(new X509Certificate(pair.certificatePem).validTo) > nowMs + RENEW_BEFORE_MS;
  const leaf = (
    commonName: string,
    organizations: readonly string[],
    usage: "server" | "client",
  ): KeyAndCertificate =>
    issueLeaf(authority, { commonName, organizations, usage, hosts: usage === "server" ? hosts : [], nowMs });
  return {
    authority,
    serving: keep(directory, `serving-${names}`, () => leaf("kube-apiserver", [], "server"), fresh),
    admin: keep(directory, "admin", () => leaf("kubernetes-admin", ["system:masters"], "client"), fresh),
    tokenKey: loadTokenKey(directory),
  };
}

function keep(
  directory: string,
  name: string,
  make: () => KeyAndCertificate,
  usable: (pair: KeyAndCertificate) => boolean,
): KeyAndCertificate {
  const certificatePath = join(directory, `${name}.crt`);
  const keyPath = join(directory, `${name}.key`);
  if (existsSync(certificatePath) && existsSync(keyPath)) {
    const pair = {
      certificatePem: readFileSync(certificatePath, "utf8"),
      keyPem: readFileSync(keyPath, "utf8"),
    };
    if (usable(pair)) return pair;
  }
  const pair = make();
  writePrivate(keyPath, pair.keyPem);
  writePrivate(certificatePath, pair.certificatePem);
  return pair;
}

function loadTokenKey(directory: string): KeyObject {
  const path = join(directory, "service-account.key");
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writePrivate(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  }
  return createPrivateKey(readFileSync(path, "utf8"));
}

/** By rename: a crash leaves the old file or the new one. */
function writePrivate(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

export function publicKeyOf(key: KeyObject): KeyObject {
  return createPublicKey(key);
}

/** Text of a kubeconfig for one user. */
export function kubeconfigText(server: string, caPem: string, client: KeyAndCertificate): string {
  const encoded = (text: string): string => Buffer.from(text).toString("base64");
  return [
    "apiVersion: v1",
    "kind: Config",
    "clusters:",
    "- name: ambit",
    "  cluster:",
    `    server: ${server}`,
    `    certificate-authority-data: ${encoded(caPem)}`,
    "contexts:",
    "- name: ambit",
    "  context: {cluster: ambit, user: ambit}",
    "current-context: ambit",
    "users:",
    "- name: ambit",
    "  user:",
    `    client-certificate-data: ${encoded(client.certificatePem)}`,
    `    client-key-data: ${encoded(client.keyPem)}`,
    "",
  ].join("\n");
}
