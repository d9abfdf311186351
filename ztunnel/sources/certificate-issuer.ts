/**
 * Who signs this node's certificates. Only what the configuration asks for is loaded: gRPC and YAML weigh megabytes, and
 * no process needs both.
 */
import type { CertificateIssuer } from "#core/identity/certificate.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { ZtunnelConfig } from "../config.ts";

export async function certificateIssuer(config: ZtunnelConfig, log: Logger): Promise<CertificateIssuer> {
  if (config.fileCaPath !== "") {
    const { directoryCa } = await import("./directory-ca.ts");
    return directoryCa(config.fileCaPath, config.trustDomains[0] ?? "");
  }
  const { caIssuer } = await import("./ca-source.ts");
  return caIssuer(config, log);
}
