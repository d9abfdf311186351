/** Asks the CA for certificates over gRPC (`istio.v1.auth.IstioCertificateService/CreateCertificate`). */
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { Logger } from "../runtime/log.ts";
import type { CertificateIssuer, WorkloadCertificate } from "./certificate.ts";

export interface CaClientOptions {
  /** `host:port` of the CA. */
  readonly address: string;
  readonly clusterId: string;
  /** Name in the server's certificate, when it differs from the host. */
  readonly serverName?: string;
  /** Requested life in seconds. */
  readonly validitySeconds: number;
  /** Whether the identity is asked for on behalf of a pod of this node. */
  readonly impersonate: boolean;
  readonly timeoutMs: number;
}

export interface CaClientDeps {
  readonly log: Logger;
  /** PEM of the roots that the CA's server certificate must chain to; read for every new channel. */
  readRoots(): Promise<string>;
  /** Bearer token; read for every call. */
  readToken(): Promise<string>;
}

export class CaClient implements CertificateIssuer {
  constructor(_deps: CaClientDeps, _options: CaClientOptions) {}

  issue(_identity: SpiffeId, _signal: AbortSignal): Promise<WorkloadCertificate> {
    throw new Error("not built yet");
  }

  close(): void {}
}
