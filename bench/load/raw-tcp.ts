/**
 * HOT PATH. TCP on bare libuv wraps, so that the load costs little beside what is measured. Every payload is zeros from
 * one constant buffer: nothing that is written can change under the kernel's hands.
 */
import { loadRawBindings, type TcpWrap, type WriteRequest } from "#core/handle/raw-bindings.ts";

const bindings = loadRawBindings();
const EOF = -4095;
const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024);
const ZEROS = Buffer.alloc(256 * 1024);

export interface TcpEvents {
  onBytes(count: number): void;
  /** The peer's FIN (error 0) or a failure (negative libuv code). Comes once; the connection is closed already. */
  onClosed(error: number): void;
}

/** One connected socket. */
export class RawTcp {
  readonly #wrap: TcpWrap;
  #closed = false;

  constructor(wrap: TcpWrap, events: TcpEvents) {
    this.#wrap = wrap;
    wrap.setNoDelay(true);
    const { state, readResult } = bindings;
    wrap.onread = () => {
      const count = state[readResult] ?? 0;
      if (this.#closed) return undefined;
      if (count > 0) events.onBytes(count);
      else if (count < 0) {
        this.close();
        events.onClosed(count === EOF ? 0 : count);
      }
      return undefined;
    };
    wrap.useUserBuffer(READ_BUFFER);
    wrap.readStart();
  }

  /** Writes zeros; `onWritten` is called only when the kernel could not take all at once. False: it could not. */
  write(count: number, onWritten?: () => void): boolean {
    if (this.#closed) return false;
    const request = takeRequest();
    const bytes = count === ZEROS.length ? ZEROS : ZEROS.subarray(0, count);
    const status = this.#wrap.writeBuffer(request, bytes);
    if (status === 0 && bindings.state[bindings.writeWasAsync] !== 0) {
      request.held = bytes;
      request.oncomplete = (result) => {
        if (result === 0) onWritten?.();
      };
      return false;
    }
    spare = request;
    return status === 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wrap.close();
  }
}

/** Longest single write. */
export const MAX_WRITE: number = ZEROS.length;

let spare: WriteRequest | undefined;

function takeRequest(): WriteRequest {
  const request = spare ?? bindings.newWriteRequest();
  spare = undefined;
  request.oncomplete = undefined;
  return request;
}

/** `onConnected` gets the events' owner a socket, or a negative libuv code. */
export function connectTcp(
  { ip, port }: { readonly ip: string; readonly port: number },
  events: TcpEvents,
  onConnected: (result: RawTcp | number) => void,
): void {
  const wrap = bindings.newSocket();
  const request = bindings.newConnectRequest();
  request.oncomplete = (status) => {
    if (status === 0) {
      onConnected(new RawTcp(wrap, events));
      return;
    }
    wrap.close();
    onConnected(status);
  };
  const status = wrap.connect(request, ip, port);
  if (status === 0) return;
  wrap.close();
  setImmediate(() => onConnected(status));
}

/** Listens on all IPv4 addresses; throws with the libuv code. */
export function listenTcp(port: number, onConnection: (wrap: TcpWrap) => void): void {
  const server = bindings.newServer();
  const status = server.bind("0.0.0.0", port) || server.listen(4_096);
  if (status !== 0) throw new Error(`cannot listen on port ${port}: libuv error ${status}`);
  server.onconnection = (result, client) => {
    if (result === 0) onConnection(client);
  };
}
