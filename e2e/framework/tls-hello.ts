/** Pure. Reads the TLS version that a server agreed to from the first bytes it sent (RFC 8446 4.1.3, 4.2.1). */

export type ServerHello =
  | { readonly kind: "server-hello"; readonly version: number }
  | { readonly kind: "not-tls" }
  | { readonly kind: "incomplete" };

export const TLS_1_3 = 0x0304;
const HANDSHAKE_RECORD = 22;
const SERVER_HELLO = 2;
const SUPPORTED_VERSIONS = 43;

/** `bytes` are the first that the server sent on the connection. */
export function readServerHello(bytes: Buffer): ServerHello {
  if (bytes.length < 9) return { kind: "incomplete" };
  if (bytes[0] !== HANDSHAKE_RECORD || bytes[1] !== 3 || bytes[5] !== SERVER_HELLO)
    return { kind: "not-tls" };
  const hello = bytes.subarray(9, 9 + bytes.readUIntBE(6, 3));
  try {
    return { kind: "server-hello", version: versionOf(hello) };
  } catch {
    return { kind: "incomplete" };
  }
}

/** legacy_version, random, session id, cipher, compression, then extensions; throws RangeError when cut off. */
function versionOf(hello: Buffer): number {
  let at = 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + 1;
  const end = at + 2 + hello.readUInt16BE(at);
  at += 2;
  while (at < end) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    if (type === SUPPORTED_VERSIONS) return hello.readUInt16BE(at + 4);
    at += 4 + length;
  }
  return hello.readUInt16BE(0); // without the extension: TLS 1.2 or older
}
