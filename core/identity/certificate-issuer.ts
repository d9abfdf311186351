/**
 * Who signs a proxy's certificates. Only what the configuration asks for is loaded: gRPC weighs megabytes, and a run
 * without a controller does not need it.
 */
import type { Logger } from "../runtime/log.ts";
import type { CaSourceOptions } from "./ca-source.ts";
import type { CertificateIssuer } from "./certificate.ts";

export interface IssuerOptions extends CaSourceOptions {
  /** Directory of a root key that signs in this process; "" for the CA. */
  readonly fileCaPath: string;
  readonly trustDomain: string;
}

export async function certificateIssuer(options: IssuerOptions, log: Logger): Promise<CertificateIssuer> {
  if (options.fileCaPath !== "") {
    const { directoryCa } = await import("./directory-ca.ts");
    return directoryCa(options.fileCaPath, options.trustDomain);
  }
  const { caIssuer } = await import("./ca-source.ts");
  return caIssuer(options, log);
}
