/** Socket options that Node does not set (socket(7), ip(7), ipv6(7)). Values are int unless said otherwise. */
import { check, libc } from "./libc.ts";
import { int32 } from "./socket-encoding.ts";

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_TCP = 6;
export const SOL_IPV6 = 41;

/** [level, option] pairs by the kernel's name. */
export const SOCKET_OPTIONS = {
  SO_REUSEADDR: [SOL_SOCKET, 2],
  SO_ERROR: [SOL_SOCKET, 4],
  SO_RCVBUFFORCE: [SOL_SOCKET, 33],
  SO_RCVBUF: [SOL_SOCKET, 8],
  SO_LINGER: [SOL_SOCKET, 13],
  SO_REUSEPORT: [SOL_SOCKET, 15],
  SO_MARK: [SOL_SOCKET, 36],
  TCP_NODELAY: [SOL_TCP, 1],
  IP_FREEBIND: [SOL_IP, 15],
  IP_TRANSPARENT: [SOL_IP, 19],
  IPV6_V6ONLY: [SOL_IPV6, 26],
  IPV6_TRANSPARENT: [SOL_IPV6, 75],
  IPV6_FREEBIND: [SOL_IPV6, 78],
} as const;

export type SocketOption = keyof typeof SOCKET_OPTIONS;

export function setSocketOption(fd: number, option: SocketOption, value: number): void {
  const [level, number] = SOCKET_OPTIONS[option];
  check(libc().setsockopt(fd, level, number, int32(value), 4), `setsockopt ${option}`);
}

export function getSocketOption(fd: number, option: SocketOption): number {
  const [level, number] = SOCKET_OPTIONS[option];
  return readSocketOption(fd, level, number, 4).readInt32LE(0);
}

/** Any option as bytes, at most `size` of them. */
export function readSocketOption(fd: number, level: number, option: number, size: number): Buffer {
  const value = Buffer.alloc(size);
  const length = int32(size);
  check(libc().getsockopt(fd, level, option, value, length), `getsockopt ${level}/${option}`);
  return value.subarray(0, length.readInt32LE(0));
}

/** close() will send RST instead of FIN. */
export function resetOnClose(fd: number): void {
  const linger = Buffer.alloc(8);
  linger.writeInt32LE(1, 0);
  const [level, number] = SOCKET_OPTIONS.SO_LINGER;
  check(libc().setsockopt(fd, level, number, linger, 8), "setsockopt SO_LINGER");
}
