/** Certificates from the mesh's CA. */
import { readFile } from "node:fs/promises";
import type { Logger } from "../runtime/log.ts";
import { CaClient } from "./ca-client.ts";
import type { CertificateIssuer } from "./certificate.ts";
import { readToken } from "./read-token.ts";

const CA_TIMEOUT_MS = 10_000;

export interface CaSourceOptions {
  /** `host:port`. */
  readonly caAddress: string;
  readonly caRootPath: string;
  /** Path of the file with this pod's own token. */
  readonly authTokenPath: string;
  readonly clusterId: string;
  readonly secretTtlMs: number;
  /** On behalf of this node's pods, or for this pod itself. */
  readonly asks: "for-pods-of-this-node" | "for-itself";
}

export function caIssuer(options: CaSourceOptions, log: Logger): CertificateIssuer {
  const deps = {
    log: log.child("ca"),
    readRoots: () => readFile(options.caRootPath, "utf8"),
    readToken: () => readToken(options.authTokenPath),
  };
  return new CaClient(deps, {
    address: options.caAddress,
    clusterId: options.clusterId,
    validitySeconds: Math.floor(options.secretTtlMs / 1_000),
    impersonate: options.asks === "for-pods-of-this-node",
    timeoutMs: CA_TIMEOUT_MS,
  });
}
