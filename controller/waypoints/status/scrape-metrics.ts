/** One GET of a ztunnel's metrics, bounded in time and size. By node:http: `fetch` would load a whole web client. */
import { get } from "node:http";
import { AmbitError } from "#core/runtime/errors.ts";
import { METRICS_PORT } from "#core/model/well-known.ts";

const TIMEOUT_MS = 2_000;
const MAX_BYTES = 16 * 1_048_576;

/** `port` for tests. */
export function scrapeMetrics(address: string, port: number = METRICS_PORT): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const fail = (why: string): void =>
      reject(new AmbitError("METRICS_UNREADABLE", `metrics of ${address}: ${why}`));
    const request = get({ host: address, port, path: "/metrics", signal, agent: false }, (response) => {
      if (response.statusCode !== 200) {
        response.destroy();
        fail(`status ${response.statusCode ?? 0}`);
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > MAX_BYTES) response.destroy(new Error("too large"));
      });
      response.on("error", (error) => fail(error.message));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    });
    request.on("error", (error) => fail(error.message));
  });
}
