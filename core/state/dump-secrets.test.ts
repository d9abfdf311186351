/** No encoding of a private key is in what `config_dump` shows or what the log says, with a certificate in force. */
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { CertificateManager } from "../identity/cert-manager.ts";
import type { WorkloadCertificate } from "../identity/certificate.ts";
import { createFileCa } from "../identity/file-ca.ts";
import { spiffeId } from "../model/spiffe-id.ts";
import { createLog } from "../runtime/log.ts";
import { dumpCertificates } from "./dump-certificates.ts";

/** The number that must stay secret, in every encoding that a dump could choose; the middle, whatever the padding. */
function needlesOf(keyPem: string): readonly string[] {
  const scalar = Buffer.from(createPrivateKey(keyPem).export({ format: "jwk" }).d ?? "", "base64url");
  assert.equal(scalar.length, 32);
  const wrapped = keyPem.replaceAll(/-----[^-]+-----|\s/g, "");
  return ["PRIVATE KEY", scalar.toString("hex"), scalar.toString("base64url"), wrapped.slice(40, 100)];
}

/** A text with everything in it that is base64, decoded beside it, twice over. */
function unfolded(text: string, depth = 2): string {
  if (depth === 0) return text;
  const inner = [...text.matchAll(/[A-Za-z0-9+/=_-]{40,}/g)].map(([word]) =>
    unfolded(Buffer.from(word, "base64").toString("latin1"), depth - 1),
  );
  return [text, ...inner].join("\n");
}

const contains = (text: string, needles: readonly string[]): boolean =>
  needles.some((needle) => unfolded(text).includes(needle));

test("neither the dump nor the log has anything of a key that is in force", async () => {
  const ca = createFileCa({ trustDomain: "cluster.local" });
  const identity = spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" });
  const issued: WorkloadCertificate[] = [];
  const lines: string[] = [];
  const manager = new CertificateManager({
    issuer: {
      issue: (wanted) => {
        const certificate = ca.issueNow(wanted);
        issued.push(certificate);
        return Promise.resolve(certificate);
      },
    },
    clock: systemClock,
    log: createLog("identity", { level: "trace", write: (line) => lines.push(line) }).root,
  });
  await manager.fetch(identity, "connection", AbortSignal.timeout(5_000));
  const dump = JSON.stringify({ certificates: dumpCertificates(manager.list()) });
  assert.match(unfolded(dump), /BEGIN CERTIFICATE/, "the certificate is in the dump, and decoding finds it");
  assert.ok(lines.join("").includes(issued[0]?.serial ?? "?"), "the log tells of the certificate");
  const needles = needlesOf(issued[0]?.keyPem ?? "");
  assert.equal(contains(dump, needles), false);
  assert.equal(contains(lines.join("\n"), needles), false);
  // The search finds a key that is there, as text and as the dump would write it.
  const keyPem = issued[0]?.keyPem ?? "";
  for (const leaked of [keyPem, Buffer.from(keyPem).toString("base64")])
    assert.equal(contains(JSON.stringify({ leaked }), needles), true);
});
