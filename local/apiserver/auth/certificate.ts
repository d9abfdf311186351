/** Pure. X.509 v3 certificates (RFC 5280) of the cluster's own P-256 authority: the CA itself, serving and client leaves. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { isIP } from "node:net";
import { ipToBytes, ip } from "#core/net/ip.ts";
import { bits, boolean, integer, objectId, octets, sequence, set, tagged, time, utf8 } from "./der.ts";

export interface KeyAndCertificate {
  readonly certificatePem: string;
  /** PKCS#8; never logged. */
  readonly keyPem: string;
}

export interface LeafRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly usage: "server" | "client";
  readonly hosts: readonly string[];
  readonly nowMs: number;
}

const ECDSA_SHA256 = sequence(objectId("1.2.840.10045.4.3.2"));
const DAY_MS = 86_400_000;
const LEAF_DAYS = 365;
const CA_DAYS = 3650;
const CA_NAME = "kubernetes";

export function makeAuthority(nowMs: number): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = distinguishedName(CA_NAME, []);
  const certificatePem = issue({
    subject,
    issuer: subject,
    publicKey,
    signer: privateKey,
    validity: [nowMs - DAY_MS, nowMs + CA_DAYS * DAY_MS],
    extensions: [
      extension("2.5.29.19", sequence(boolean(true)), true),
      extension("2.5.29.15", bits(Buffer.from([0b1010_0100]), 2), true), // digitalSignature, keyEncipherment, keyCertSign
      extension("2.5.29.14", octets(keyId(publicKey))),
    ],
  });
  return { certificatePem, keyPem: pkcs8(privateKey) };
}

export function issueLeaf(authority: KeyAndCertificate, request: LeafRequest): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = createPrivateKey(authority.keyPem);
  const purpose = request.usage === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
  const names = request.hosts.map(generalName);
  const certificatePem = issue({
    subject: distinguishedName(request.commonName, request.organizations),
    issuer: distinguishedName(CA_NAME, []),
    publicKey,
    signer,
    validity: [request.nowMs - DAY_MS, request.nowMs + LEAF_DAYS * DAY_MS],
    extensions: [
      extension("2.5.29.15", bits(Buffer.from([0b1000_0000]), 7), true),
      extension("2.5.29.37", sequence(objectId(purpose))),
      extension("2.5.29.19", sequence(), true),
      extension("2.5.29.35", sequence(tagged(0x80, keyId(createPublicKey(signer))))),
      ...(names.length === 0 ? [] : [extension("2.5.29.17", sequence(...names))]),
    ],
  });
  return { certificatePem, keyPem: pkcs8(privateKey) };
}

interface Issuance {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly validity: readonly [number, number];
  readonly extensions: readonly Buffer[];
}

function issue(request: Issuance): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive and of full length
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_SHA256,
    request.issuer,
    sequence(time(request.validity[0]), time(request.validity[1])),
    request.subject,
    request.publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...request.extensions)),
  );
  const signature = sign("sha256", body, { key: request.signer, dsaEncoding: "der" });
  const text = sequence(body, ECDSA_SHA256, bits(signature)).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${text.replace(/.{64}(?=.)/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
}

function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  const attribute = (id: string, text: string): Buffer => sequence(objectId(id), utf8(text));
  return sequence(
    ...organizations.map((name) => set(attribute("2.5.4.10", name))),
    set(attribute("2.5.4.3", commonName)),
  );
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function generalName(host: string): Buffer {
  return isIP(host) === 0 ? tagged(0x82, Buffer.from(host)) : tagged(0x87, Buffer.from(ipToBytes(ip(host))));
}

function keyId(publicKey: KeyObject): Buffer {
  return createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
