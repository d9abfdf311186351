/**
 * TLS for both backends. A TLSSocket made by hand enforces nothing: it accepts untrusted certificates and knows no
 * handshake timeout. Everything that must hold is therefore checked here, before anyone sees the connection.
 */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, TLSSocket } from "node:tls";
import { AmbitError } from "../runtime/errors.ts";
import { HANDLE_TLS_FAILED, HANDLE_TLS_TIMEOUT } from "./handle-errors.ts";
import type { TlsOptions } from "./tls-handle.ts";

const ALPN = ["h2"];

export type TlsRole = "server" | "client";

/** What is known of the peer once the handshake is done; read once, because reading is dear. */
export interface TlsFacts {
  readonly peerCertificate: X509Certificate;
  readonly cipher: string;
  readonly protocol: string;
}

interface VerifyingWrap {
  verifyError(): Error | null | undefined;
}

/**
 * Runs the handshake on a connected socket that nobody reads. `adopt` is called synchronously when the peer is
 * verified, so that no byte can fall between. On failure the socket is destroyed and the promise rejects with
 * HANDLE_TLS_FAILED, HANDLE_TLS_TIMEOUT or the abort reason.
 */
export function handshake<T>(
  socket: Socket,
  role: TlsRole,
  options: TlsOptions & { readonly signal?: AbortSignal | undefined },
  adopt: (tls: TLSSocket, facts: TlsFacts) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const { signal } = options;
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      return true;
    };
    const fail = (error: Error): void => {
      if (!settle()) return;
      tls.destroy();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason as Error);
    const tls = role === "server" ? serverSocket(socket, options) : clientSocket(socket, options);
    const timer = setTimeout(
      () => fail(timeoutError(options.handshakeTimeoutMs)),
      options.handshakeTimeoutMs,
    );
    tls.on("error", (error) => fail(failure(error)));
    tls.on("close", () =>
      fail(new AmbitError(HANDLE_TLS_FAILED, "the peer closed during the TLS handshake")),
    );
    tls.once("secure", () => {
      if (settled) return;
      try {
        const facts = verify(tls, role);
        const value = adopt(tls, facts);
        settle();
        resolve(value);
      } catch (error) {
        fail(failure(error));
      }
    });
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort);
  });
}

function serverSocket(socket: Socket, options: TlsOptions): TLSSocket {
  return new TLSSocket(socket, {
    isServer: true,
    secureContext: options.context,
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ALPN,
  });
}

/** No `servername`: no SNI. Identity is in the URI SAN, which the caller judges. */
function clientSocket(socket: Socket, options: TlsOptions): TLSSocket {
  return connect({
    socket,
    secureContext: options.context,
    rejectUnauthorized: true,
    ALPNProtocols: ALPN,
    checkServerIdentity: () => undefined,
  });
}

function verify(tls: TLSSocket, role: TlsRole): TlsFacts {
  const wrap = (tls as unknown as { readonly _handle: VerifyingWrap | null })._handle;
  const error = wrap?.verifyError();
  if (wrap === null) throw new AmbitError(HANDLE_TLS_FAILED, "the connection closed during verification");
  if (error !== null && error !== undefined) throw error;
  const leaf = tls.getPeerX509Certificate();
  if (leaf === undefined) throw new AmbitError(HANDLE_TLS_FAILED, "the peer sent no certificate");
  if (role === "client" && tls.alpnProtocol !== "h2") {
    throw new AmbitError(HANDLE_TLS_FAILED, "the server did not agree to h2");
  }
  return { peerCertificate: leaf, cipher: tls.getCipher().standardName, protocol: tls.getProtocol() ?? "" };
}

function failure(error: unknown): Error {
  if (error instanceof AmbitError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  const message = error instanceof Error ? error.message : String(error);
  return new AmbitError(HANDLE_TLS_FAILED, `TLS handshake failed: ${message}`, {
    cause: error,
    fields: { tlsCode: code },
  });
}

function timeoutError(ms: number): AmbitError {
  return new AmbitError(HANDLE_TLS_TIMEOUT, `TLS handshake not finished after ${ms} ms`);
}
