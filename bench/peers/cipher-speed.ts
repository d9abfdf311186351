/** How fast each TLS library encrypts on this machine in this run: AES-256-GCM, 16 KiB blocks, one core. */
import { execFileSync } from "node:child_process";
import { createCipheriv, randomBytes } from "node:crypto";
import type { Program } from "./debian-root.ts";

const BLOCK_BYTES = 16_384;
const GIB = 2 ** 30;
const MEASURE_MS = 700;

/** GiB/s by `openssl speed`; undefined when it does not answer. */
export function opensslSpeed({ command, args, env }: Program): number | undefined {
  const options = [
    "speed",
    "-elapsed",
    "-mr",
    "-seconds",
    "1",
    "-bytes",
    String(BLOCK_BYTES),
    "-evp",
    "aes-256-gcm",
  ];
  try {
    const text = execFileSync(command, [...args, ...options], {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 15_000,
    });
    return parseOpensslSpeed(text);
  } catch {
    return undefined; // reported as unknown
  }
}

/** The machine-readable result line: `+F:number:name:bytes per second`. */
export function parseOpensslSpeed(text: string): number | undefined {
  const value = /^\+F:\d+:[^:]+:([\d.]+)$/m.exec(text)?.[1];
  return value === undefined ? undefined : Number(value) / GIB;
}

/** GiB/s of this Node's library; its output buffers are made anew each time, which costs some of it. */
export function nodeCipherSpeed(): number {
  const cipher = createCipheriv("aes-256-gcm", randomBytes(32), randomBytes(12));
  const block = Buffer.alloc(BLOCK_BYTES);
  const started = performance.now();
  let bytes = 0;
  while (performance.now() - started < MEASURE_MS) {
    for (let i = 0; i < 64; i++) bytes += cipher.update(block).length;
  }
  return bytes / GIB / ((performance.now() - started) / 1_000);
}
