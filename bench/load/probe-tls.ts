/** Asks a running B side for protocol and cipher. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { TlsProbe } from "../peers/peer.ts";

const PROGRAM = join(import.meta.dirname, "tls-probe-main.ts");

/** `TLSv1.3 TLS_AES_256_GCM_SHA384`; "unknown" when it does not answer. */
export function probeTls(netns: string, { ip, port, certificatePath, keyPath, alpn = "" }: TlsProbe): string {
  const args = [
    `--net=${netns}`,
    process.execPath,
    PROGRAM,
    ip,
    String(port),
    certificatePath,
    keyPath,
    alpn,
  ];
  try {
    const text = execFileSync("nsenter", args, {
      encoding: "utf8",
      timeout: 10_000,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const { protocol, cipher } = JSON.parse(text) as { readonly protocol: string; readonly cipher: string };
    return `${protocol} ${cipher}`;
  } catch {
    return "unknown";
  }
}
