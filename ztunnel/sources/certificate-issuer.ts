/** Who signs this node's certificates: the mesh's CA, or a root key in a directory for runs without a controller. */
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CaClient } from "#core/identity/ca-client.ts";
import type { CertificateIssuer } from "#core/identity/certificate.ts";
import { createFileCa, type FileCa } from "#core/identity/file-ca.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { ZtunnelConfig } from "../config.ts";

const CA_TIMEOUT_MS = 10_000;

export function certificateIssuer(config: ZtunnelConfig, log: Logger): CertificateIssuer {
  if (config.fileCaPath !== "") return directoryCa(config.fileCaPath, config.trustDomains[0] ?? "");
  const deps = {
    log: log.child("ca"),
    readRoots: () => readFile(config.caRootPath, "utf8"),
    readToken: () => readToken(config.authTokenPath),
  };
  return new CaClient(deps, {
    address: config.caAddress,
    clusterId: config.clusterId,
    validitySeconds: Math.floor(config.secretTtlMs / 1_000),
    impersonate: true,
    timeoutMs: CA_TIMEOUT_MS,
  });
}

export async function readToken(path: string): Promise<string> {
  return (await readFile(path, "utf8")).trim();
}

/** Several ztunnels may start on one empty directory: whoever links its pair first is the root of all. */
function directoryCa(directory: string, trustDomain: string): FileCa {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "root.pem");
  if (!existsSync(path)) {
    const fresh = createFileCa({ trustDomain });
    const temporary = join(directory, `.root.${process.pid}.pem`);
    writeFileSync(temporary, fresh.rootPem + fresh.rootKeyPem, { mode: 0o600 });
    try {
      linkSync(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }
  const both = readFileSync(path, "utf8");
  const cut = both.indexOf("-----END CERTIFICATE-----") + "-----END CERTIFICATE-----\n".length;
  return createFileCa({ trustDomain, rootPem: both.slice(0, cut), rootKeyPem: both.slice(cut) });
}
