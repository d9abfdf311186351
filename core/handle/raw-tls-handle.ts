/**
 * TLS on libuv: node:tls does the handshake, then its wrap is read and written directly. Errors in mid-stream come
 * only as the socket's 'error'; a reset goes to the transport below, because a TLS wrap has none.
 */
import type { X509Certificate } from "node:crypto";
import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { AmbitError } from "../runtime/errors.ts";
import type { Handle } from "./handle.ts";
import { HANDLE_RAW_UNAVAILABLE, HANDLE_TLS_FAILED } from "./handle-errors.ts";
import { isStreamWrap, type RawBindings, type StreamWrap } from "./raw-bindings.ts";
import { RawStream } from "./raw-stream.ts";
import { takeTcpWrap } from "./raw-tcp-handle.ts";
import type { RawStreamParts, RawTerminator, WrapClosed } from "./raw-wrap.ts";
import type { TlsHandle, TlsOptions } from "./tls-handle.ts";
import { handshake, type TlsFacts, type TlsRole } from "./tls-setup.ts";

class RawTlsHandle extends RawStream implements TlsHandle {
  readonly peerCertificate: X509Certificate;
  readonly cipher: string;
  readonly protocol: string;

  constructor(parts: RawStreamParts, facts: TlsFacts) {
    super(parts);
    this.peerCertificate = facts.peerCertificate;
    this.cipher = facts.cipher;
    this.protocol = facts.protocol;
  }
}

/** `tcp` must be a plain raw handle that was not started. Rejects as `handshake` does. */
export function rawTls(
  bindings: RawBindings,
  tcp: Handle,
  role: TlsRole,
  options: TlsOptions & { readonly signal?: AbortSignal | undefined },
): Promise<TlsHandle> {
  const wrap = takeTcpWrap(tcp);
  if (wrap === undefined) {
    return Promise.reject(new AmbitError(HANDLE_TLS_FAILED, "TLS needs a plain handle of the same backend"));
  }
  const socket = new Socket({ handle: wrap, allowHalfOpen: true, manualStart: true } as object);
  return handshake(socket, role, options, (tls, facts) => adoptTls(bindings, tcp, { tls, socket }, facts));
}

interface TlsParts {
  readonly tls: TLSSocket;
  readonly socket: Socket;
}

function adoptTls(bindings: RawBindings, tcp: Handle, parts: TlsParts, facts: TlsFacts): TlsHandle {
  const { tls } = parts;
  const wrap = (tls as unknown as { readonly _handle: unknown })._handle;
  if (!isStreamWrap(wrap)) {
    throw new AmbitError(HANDLE_RAW_UNAVAILABLE, "the TLS wrap of this Node lacks the calls that are needed");
  }
  const handle = new RawTlsHandle(
    {
      bindings,
      wrap,
      terminator: tlsTerminator(parts),
      local: tcp.local,
      remote: tcp.remote,
      copiesOnWrite: true,
    },
    facts,
  );
  handle.adopt();
  tls.on("error", (error) => handle.fail(error));
  tls.once("close", () => handle.fail(new AmbitError(HANDLE_TLS_FAILED, "the TLS connection was closed")));
  return handle;
}

function tlsTerminator({ tls, socket }: TlsParts): RawTerminator {
  const whenClosed = (wrap: StreamWrap, done: WrapClosed): void => {
    if (tls.closed) process.nextTick(() => done.call(wrap));
    else tls.once("close", () => done.call(wrap));
  };
  return {
    close: (wrap, done) => {
      whenClosed(wrap, done);
      tls.destroy();
    },
    // The transport's close destroys the TLS socket; destroying both here crashes the process.
    reset: (wrap, done) => {
      whenClosed(wrap, done);
      socket.resetAndDestroy();
    },
    resetWaitsForShutdown: false,
  };
}
