/**
 * Replays one recorded scenario. The recording has placeholders (`<uid>`, `<time>`, `<token>`) and the recorder's own revisions; they
 * are replaced by what this server gave at the same place.
 */
import { randomUUID } from "node:crypto";
import { dig, isRecord, type JsonMap } from "../object.ts";
import { eventually, type TestAnswer, type TestApi } from "./test-api.ts";

export interface Exchange {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly contentType?: string;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  };
  readonly response: {
    readonly code: number;
    readonly body?: unknown;
    readonly events?: readonly JsonMap[];
    readonly note?: string;
  };
}

export interface Scenario {
  readonly case: string;
  readonly exchanges: readonly Exchange[];
}

export class Replayer {
  readonly #api: TestApi;
  readonly #revisions = new Map<string, string>();
  readonly #uids = new Map<string, string>();
  #continue = "";
  #token = "";

  constructor(api: TestApi) {
    this.#api = api;
  }

  /** What differs, in words; empty when the scenario went as recorded. `patient` repeats reads until they match. */
  async replay(scenario: Scenario, patient = true): Promise<string[]> {
    const differences: string[] = [];
    for (const [i, exchange] of scenario.exchanges.entries()) {
      for (const difference of await this.#exchange(exchange, patient)) {
        differences.push(`${i} ${exchange.request.method} ${exchange.request.path}: ${difference}`);
      }
    }
    return differences;
  }

  async #exchange({ request, response }: Exchange, patient: boolean): Promise<string[]> {
    const path = this.#path(request.path);
    if (request.method === "WATCH") {
      const wanted = response.events ?? [];
      const events = await this.#api.watch(path, (seen) => seen.length >= Math.max(1, wanted.length));
      if (response.events === undefined) return [];
      return compare(wanted.map(normalEvent), events.map(normalEvent));
    }
    const { authorization, ...headers } = request.headers ?? {};
    const ask = (): Promise<TestAnswer> =>
      this.#api.request(request.method, path, {
        body: this.#body(request.body, undefined),
        ...(request.contentType === undefined ? {} : { contentType: request.contentType }),
        headers,
        ...(authorization === undefined
          ? {}
          : {
              token: authorization.includes("<issued token>")
                ? this.#token
                : authorization.replace("Bearer ", ""),
            }),
      });
    const matches = (answer: TestAnswer): boolean =>
      compare(outcome(response.code, response.body), outcome(answer.code, answer.body)).length === 0;
    const answer = request.method === "GET" && patient ? await eventuallyBriefly(ask, matches) : await ask();
    this.#learn(response.body, answer.body);
    return compare(outcome(response.code, response.body), outcome(answer.code, answer.body));
  }

  #path(path: string): string {
    return path
      .replace("continue=<token>", `continue=${encodeURIComponent(this.#continue)}`)
      .replace(
        /resourceVersion=(\d+)/,
        (_all, revision: string) => `resourceVersion=${this.#revisions.get(revision) ?? revision}`,
      );
  }

  #body(value: unknown, owner: JsonMap | undefined): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#body(item, owner));
    if (value === "<time>") return new Date().toISOString().replace("Z", "000Z");
    if (value === "<token>") return this.#token;
    if (!isRecord(value)) return value;
    const out: JsonMap = {};
    for (const [key, child] of Object.entries(value)) {
      if (key === "uid" && child === "<uid>")
        out[key] = this.#uids.get(String(value["name"])) ?? randomUUID();
      else if (key === "resourceVersion" && typeof child === "string")
        out[key] = this.#revisions.get(child) ?? child;
      else out[key] = this.#body(child, value);
    }
    return out;
  }

  #learn(recorded: unknown, ours: unknown): void {
    if (Array.isArray(recorded) && Array.isArray(ours))
      recorded.forEach((item, i) => this.#learn(item, ours[i]));
    if (!isRecord(recorded) || !isRecord(ours)) return;
    const before = dig(recorded, "metadata", "resourceVersion");
    const after = dig(ours, "metadata", "resourceVersion");
    if (typeof before === "string" && typeof after === "string") this.#revisions.set(before, after);
    const uid = dig(ours, "metadata", "uid");
    if (typeof uid === "string") this.#uids.set(String(dig(ours, "metadata", "name")), uid);
    const next = dig(ours, "metadata", "continue");
    if (typeof next === "string") this.#continue = next;
    const token = dig(ours, "status", "token");
    if (typeof token === "string") this.#token = token;
    this.#learn(recorded["items"], ours["items"]);
  }
}

function eventuallyBriefly(
  ask: () => Promise<TestAnswer>,
  holds: (answer: TestAnswer) => boolean,
): Promise<TestAnswer> {
  const end = Date.now() + 2500;
  return eventually(ask, (answer) => holds(answer) || Date.now() > end);
}

/** Codes, reasons, causes by field, and objects count; messages and server-made values do not. */
function outcome(code: number, body: unknown): unknown {
  if (isRecord(body) && body["kind"] === "Status" && code >= 400) {
    const causes = dig(body, "details", "causes");
    const fields = Array.isArray(causes)
      ? causes.map((cause) => `${String(dig(cause, "reason"))} ${String(dig(cause, "field"))}`).toSorted()
      : [];
    return {
      code,
      reason: body["reason"],
      name: dig(body, "details", "name"),
      kind: dig(body, "details", "kind"),
      causes: fields,
    };
  }
  return { code, body: normal(body) };
}

function normalEvent(event: JsonMap): unknown {
  return { type: event["type"], object: normal(event["object"]) };
}

const VOLATILE = new Set([
  "continue",
  "clusterIP",
  "clusterIPs",
  "uid",
  "resourceVersion",
  "managedFields",
  "selfLink",
  "token",
  "ca.crt",
  "description",
  "time",
]);

function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value === "string") return normalText(value);
  if (!isRecord(value)) return value;
  const out: JsonMap = {};
  for (const [key, child] of Object.entries(value)) {
    // null and absent are the same to every client, and items of built-in lists may leave out their kind
    if (VOLATILE.has(key) || child === undefined || child === null) continue;
    out[key] = key === "items" && Array.isArray(child) ? child.map(normalItem) : normal(child);
  }
  return out;
}

function normalItem(item: unknown): unknown {
  if (!isRecord(item)) return item;
  const { kind: _kind, apiVersion: _apiVersion, ...rest } = item;
  return normal(rest);
}

function normalText(text: string): string {
  if (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text)) return "<time>";
  if (/^(kube-api-access|w|g)-[a-z0-9]{5,7}$/.test(text)) return "<generated>";
  if (text.startsWith("JTI=")) return "<credential>";
  return /^\d+[smh](\d+s)?$/.test(text) ? "<age>" : text;
}

/** Paths where two JSON values differ. */
export function compare(wanted: unknown, got: unknown, path = ""): string[] {
  if (Array.isArray(wanted) && Array.isArray(got) && wanted.length === got.length) {
    return wanted.flatMap((item, i) => compare(item, got[i], `${path}[${i}]`));
  }
  if (isRecord(wanted) && isRecord(got)) {
    const keys = new Set([...Object.keys(wanted), ...Object.keys(got)]);
    return [...keys].flatMap((key) => compare(wanted[key], got[key], path === "" ? key : `${path}.${key}`));
  }
  const same = wanted === got || JSON.stringify(wanted) === JSON.stringify(got);
  return same ? [] : [`${path}: recorded ${short(wanted)}, got ${short(got)}`];
}

function short(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 300);
}
