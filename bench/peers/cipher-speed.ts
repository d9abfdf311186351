/** How fast each TLS library encrypts on this machine in this run: AES-256-GCM, 16 KiB blocks, one core. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { programFunctions } from "#core/linux/libc.ts";
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

/**
 * GiB/s of the OpenSSL inside this Node, called as `openssl speed` calls its own: node:crypto makes a new buffer for
 * every answer, which takes three quarters of the time. Undefined when this Node does not export it.
 */
export function nodeCipherSpeed(): number | undefined {
  try {
    return measureNode();
  } catch {
    return undefined; // reported as unknown
  }
}

function measureNode(): number {
  const evp = programFunctions({
    newContext: "void* EVP_CIPHER_CTX_new()",
    freeContext: "void EVP_CIPHER_CTX_free(void*)",
    cipher: "void* EVP_aes_256_gcm()",
    start: "int EVP_EncryptInit_ex(void*, void*, void*, void*, void*)",
    update: "int EVP_EncryptUpdate(void*, void*, void*, void*, int)",
  });
  const context = evp.newContext();
  const [input, output, length] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES), Buffer.alloc(4)];
  if (evp.start(context, evp.cipher(), null, randomBytes(32), randomBytes(12)) !== 1) {
    throw new Error("no cipher");
  }
  const started = performance.now();
  let bytes = 0;
  while (performance.now() - started < MEASURE_MS) {
    for (let i = 0; i < 64; i++) evp.update(context, output, length, input, BLOCK_BYTES);
    bytes += 64 * BLOCK_BYTES;
  }
  evp.freeContext(context);
  return bytes / GIB / ((performance.now() - started) / 1_000);
}
