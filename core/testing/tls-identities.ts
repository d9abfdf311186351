import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

/** TEMPORARY until the CA of core/identity exists. */
export interface TestCa {
  readonly rootPem: string;
  issue(uri: string, extra?: string, days?: number): { readonly cert: string; readonly key: string };
}

export function testCa(): TestCa {
  const dir = mkdtempSync(join(tmpdir(), "ambit-engine-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const run = (...args: string[]): void => void execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  run(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-subj",
    "/O=test",
    "-days",
    "10",
  );
  let n = 0;
  return {
    rootPem: readFileSync(join(dir, "ca.pem"), "utf8"),
    issue: (uri, extra = "", days = 2) => {
      const base = `leaf${n++}`;
      writeFileSync(
        join(dir, `${base}.ext`),
        `subjectAltName=critical,URI:${uri}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n${extra}`,
      );
      run(
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        `${base}.key`,
        "-out",
        `${base}.csr`,
        "-subj",
        "/",
      );
      run(
        "x509",
        "-req",
        "-in",
        `${base}.csr`,
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        String(days),
        "-extfile",
        `${base}.ext`,
        "-out",
        `${base}.pem`,
      );
      return {
        cert: readFileSync(join(dir, `${base}.pem`), "utf8"),
        key: readFileSync(join(dir, `${base}.key`), "utf8"),
      };
    },
  };
}

export function testContext(
  leaf: { readonly cert: string; readonly key: string } | undefined,
  rootPem: string,
): SecureContext {
  return createSecureContext({
    ...(leaf === undefined ? {} : { cert: leaf.cert, key: leaf.key }),
    ca: [rootPem],
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}
