/** Certificates from the mesh's CA. */
import { readFile } from "node:fs/promises";
import { CaClient } from "#core/identity/ca-client.ts";
import type { CertificateIssuer } from "#core/identity/certificate.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { ZtunnelConfig } from "../config.ts";
import { readToken } from "./read-token.ts";

const CA_TIMEOUT_MS = 10_000;

/** Asks on behalf of this node's pods, with this pod's own token. */
export function caIssuer(config: ZtunnelConfig, log: Logger): CertificateIssuer {
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
