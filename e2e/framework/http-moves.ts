/** What hands do in pods with single requests (sent as text, see `hands.ts`). */
import type { Hands } from "./hands.ts";

/** One GET; the body as text. */
export function get(world: Hands, url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = world.http.get(url, { agent: false, timeout: 10_000 }, (answer) => {
      let body = "";
      answer.on("data", (bytes: Buffer) => (body += bytes.toString()));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    request.on("timeout", () => request.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
    request.on("error", reject);
  });
}

export interface HttpAsk {
  readonly host: string;
  readonly port: number;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request over a connection of its own; rejects with the system's code when there is no answer. */
export function request(
  world: Hands,
  { host, port, method = "GET", path, headers = {} }: HttpAsk,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { host, port, method, path, headers, agent: false as const, timeout: 15_000 };
    const out = world.http.request(options, (answer) => {
      let body = "";
      answer.on("data", (bytes: Buffer) => (body += bytes.toString()));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    out.on("timeout", () => out.destroy(Object.assign(new Error("timeout"), { code: "TIMEOUT" })));
    out.on("error", reject);
    out.end();
  });
}

export function post(world: Hands, url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = world.http.request(url, { method: "POST", agent: false }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode ?? 0));
    });
    request.on("error", reject);
    request.end();
  });
}
