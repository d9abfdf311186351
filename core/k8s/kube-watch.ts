/**
 * The watch half of an informer, in the shape that client-node's `ListWatch` calls. Differs from its own `Watch`:
 * objects are projected before anyone keeps them, bookmarks are asked for (else a quiet kind expires and relists),
 * a line that is not JSON breaks the watch instead of being skipped, and 300 s pass before silence counts as death.
 */
import { createInterface } from "node:readline";
import { KubeConfig, Watch } from "@kubernetes/client-node";
import { describeError } from "../runtime/errors.ts";
import type { Logger } from "../runtime/log.ts";
import { jsonNumber, jsonObject, jsonText } from "./json-read.ts";
import { type KubeClient, kubeStatus, type KubeStream } from "./kube-client.ts";
import type { KubeObject } from "./object-types.ts";

export interface KubeWatchOptions {
  readonly client: KubeClient;
  readonly project: (raw: unknown) => KubeObject;
  readonly signal: AbortSignal;
  /** The server answered. */
  readonly onContact: () => void;
  readonly log: Logger;
}

type EventCallback = (phase: string, object: unknown) => void;
type DoneCallback = (error: unknown) => void;
type WatchQuery = Readonly<Record<string, string | number | boolean | undefined>>;

const SILENCE_MS = 300_000;
/** In the form in which `ListWatch` understands it. */
const EXPIRED = Object.assign(new Error("expired"), { statusCode: 410 });

export class KubeWatch extends Watch {
  readonly #options: KubeWatchOptions;
  #expired = false;
  #end: (error: unknown) => void = () => undefined;

  constructor(options: KubeWatchOptions) {
    super(new KubeConfig());
    this.#options = options;
  }

  /** Makes `ListWatch` list anew, now or as soon as it wants to watch again. */
  expire(): void {
    this.#expired = true;
    this.#end(EXPIRED);
  }

  /** A list begins. */
  renew(): void {
    this.#expired = false;
  }

  override watch(
    path: string,
    queryParams: WatchQuery,
    callback: EventCallback,
    done: DoneCallback,
  ): Promise<AbortController> {
    const controller = new AbortController();
    const signal = AbortSignal.any([controller.signal, this.#options.signal]);
    let ended = false;
    const end = (error: unknown): void => {
      if (ended) return;
      ended = true;
      done(error);
    };
    this.#end = end;
    if (this.#expired) {
      setImmediate(() => end(EXPIRED));
      return Promise.resolve(controller);
    }
    this.#run(path, queryParams, callback, signal).then(
      () => end(null),
      (error: unknown) => end(signal.aborted ? null : forListWatch(error)),
    );
    // ListWatch aborts the previous request when it is done; a second `done` would start two watches.
    controller.signal.addEventListener("abort", () => {
      ended = true;
    });
    return Promise.resolve(controller);
  }

  async #run(path: string, params: WatchQuery, callback: EventCallback, signal: AbortSignal): Promise<void> {
    const query = Object.fromEntries(
      Object.entries(params).map(([key, value]) => [key, value === undefined ? undefined : String(value)]),
    );
    const stream = await this.#options.client.stream({
      method: "GET",
      path,
      query: { ...query, watch: "true", allowWatchBookmarks: "true" },
      signal,
    });
    this.#options.onContact();
    try {
      await this.#read(stream, callback);
    } finally {
      stream.abort();
    }
  }

  async #read(stream: KubeStream, callback: EventCallback): Promise<void> {
    const timer = setTimeout(() => stream.response.destroy(silence()), SILENCE_MS);
    timer.unref();
    const lines = createInterface({ input: stream.response, crlfDelay: Number.POSITIVE_INFINITY });
    const failed = Promise.withResolvers<never>();
    stream.response.once("error", failed.reject);
    const consume = async (): Promise<void> => {
      for await (const line of lines) {
        timer.refresh();
        if (!this.#event(line, callback)) return;
      }
    };
    try {
      await Promise.race([consume(), failed.promise]);
    } finally {
      clearTimeout(timer);
      lines.close();
      stream.response.on("error", () => undefined);
    }
  }

  /** False when the watch cannot be trusted any more. */
  #event(line: string, callback: EventCallback): boolean {
    const event = parseLine(line);
    if (event === undefined) {
      this.#options.log.warn({ bytes: line.length }, "watch sent a malformed line");
      return false;
    }
    this.#options.onContact();
    const phase = jsonText(event["type"]);
    const isObject = phase === "ADDED" || phase === "MODIFIED" || phase === "DELETED";
    try {
      callback(phase, isObject ? this.#options.project(event["object"]) : statusOrBookmark(event["object"]));
    } catch (error) {
      this.#options.log.error({ error: describeError(error) }, "watch event could not be applied");
      return false;
    }
    return phase !== "ERROR";
  }
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const event = jsonObject(JSON.parse(line));
    return typeof event["type"] === "string" && typeof event["object"] === "object" ? event : undefined;
  } catch {
    return undefined;
  }
}

function statusOrBookmark(raw: unknown): object {
  const object = jsonObject(raw);
  const version = jsonText(jsonObject(object["metadata"])["resourceVersion"]);
  return { code: jsonNumber(object["code"]), metadata: { resourceVersion: version } };
}

/** ListWatch relists on `statusCode` 410, resumes on a TimeoutError, and reports everything else. */
function forListWatch(error: unknown): unknown {
  return kubeStatus(error) === 410 ? EXPIRED : error;
}

function silence(): DOMException {
  return new DOMException("the watch was silent for too long", "TimeoutError");
}
