/**
 * Asks the CA for certificates over gRPC (`istio.v1.auth.IstioCertificateService/CreateCertificate`). Every request has
 * a new key, a freshly read token and a deadline; an answer for another identity or key is thrown away.
 */
import { Client, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describeProblems } from "../base/parse-result.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import { AmbitError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import {
  CREATE_CERTIFICATE_PATH,
  decodeCertificateResponse,
  encodeCertificateRequest,
} from "../wire/ca-codec.ts";
import { assembleCertificate } from "./assemble-certificate.ts";
import { spkiOf } from "./build-certificate.ts";
import type { CertificateIssuer, WorkloadCertificate } from "./certificate.ts";
import { buildCsr } from "./csr.ts";
import { exportKey, newKeyPair } from "./file-ca.ts";
import {
  callMetadata,
  channelCredentials,
  channelOptions,
  identityDeserializer,
  identitySerializer,
  statusName,
} from "./grpc-channel.ts";

const MAX_RECEIVE_BYTES = 4 * 1024 * 1024;

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
  /** PEM of the roots that the CA's server certificate must chain to; read for every call. */
  readRoots(): Promise<string>;
  /** Bearer token; read for every call. */
  readToken(): Promise<string>;
  /** Wall clock; the system's unless told. */
  readonly nowMs?: () => number;
}

export class CaClient implements CertificateIssuer {
  readonly #deps: CaClientDeps;
  readonly #options: CaClientOptions;
  #channel: { readonly rootsPem: string; readonly client: Client } | undefined;

  constructor(deps: CaClientDeps, options: CaClientOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Rejects with CA_REFUSED (final: the request itself is wrong), CA_UNAVAILABLE (retry: away, or not convinced yet that
   * the pod is here), CA_BAD_ANSWER, TOKEN_UNREADABLE, TRUST_BUNDLE_UNUSABLE, or the signal's reason.
   */
  async issue(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> {
    const [token, rootsPem] = await Promise.all([this.#deps.readToken(), this.#deps.readRoots()]);
    signal.throwIfAborted();
    const { privateKey } = newKeyPair();
    const request = encodeCertificateRequest({
      csrPem: buildCsr(identity, privateKey),
      validitySeconds: this.#options.validitySeconds,
      metadata: this.#options.impersonate ? { ImpersonatedIdentity: identity } : {},
    });
    const answer = await this.#call(request, callMetadata(token, this.#options.clusterId), rootsPem, signal);
    const response = decodeCertificateResponse(answer);
    if (!response.ok) throw badAnswer(identity, describeProblems(response.problems));
    const publicKeyDer = spkiOf(privateKey);
    const issued = { identity, keyPem: exportKey(privateKey), publicKeyDer, chain: response.value.certChain };
    const certificate = assembleCertificate(issued, (this.#deps.nowMs ?? Date.now)());
    if (!certificate.ok) throw badAnswer(identity, describeProblems(certificate.problems));
    return certificate.value;
  }

  close(): void {
    this.#channel?.client.close();
    this.#channel = undefined;
  }

  #call(request: Uint8Array, metadata: Metadata, rootsPem: string, signal: AbortSignal): Promise<Buffer> {
    const client = this.#clientFor(rootsPem);
    const deadline = Date.now() + this.#options.timeoutMs;
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        CREATE_CERTIFICATE_PATH,
        identitySerializer,
        identityDeserializer,
        request,
        metadata,
        { deadline },
        (error: ServiceError | null, answer?: Buffer) => {
          signal.removeEventListener("abort", onAbort);
          if (signal.aborted) reject(signal.reason as Error);
          else if (error !== null) reject(callError(error, this.#options.address));
          else resolve(answer ?? Buffer.alloc(0));
        },
      );
      const onAbort = (): void => call.cancel();
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** A new connection when the roots have changed. */
  #clientFor(rootsPem: string): Client {
    if (this.#channel?.rootsPem === rootsPem) return this.#channel.client;
    if (this.#channel !== undefined) this.#deps.log.info({}, "root certificates changed, connecting anew");
    this.close();
    const { address, serverName } = this.#options;
    const options = channelOptions({ maxReceiveBytes: MAX_RECEIVE_BYTES, serverName });
    const client = new Client(address, channelCredentials(rootsPem), options);
    this.#channel = { rootsPem, client };
    return client;
  }
}

/** The request itself is wrong; asking again cannot help. Everything else may be a matter of time. */
const FINAL: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
  status.OUT_OF_RANGE,
]);

function callError(error: ServiceError, address: string): AmbitError {
  const final = FINAL.has(error.code);
  const name = statusName(error.code);
  return new AmbitError(
    final ? "CA_REFUSED" : "CA_UNAVAILABLE",
    `the CA at ${address} answered ${name}: ${error.details.slice(0, 300)}`,
    { cause: error, retryable: !final, fields: { grpc_status: name } },
  );
}

function badAnswer(identity: SpiffeId, why: string): AmbitError {
  return new AmbitError("CA_BAD_ANSWER", `the CA's answer for ${identity} ${why}`, { retryable: true });
}
