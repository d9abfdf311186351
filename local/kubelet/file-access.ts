/**
 * A cluster of files: pod manifests (JSON) in a directory, status written beside them. For running a node without an API.
 * Removing a manifest ends its pod. There are no ConfigMaps, Secrets or tokens.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#core/base/clock.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { BoundToken, ClusterAccess, PodEvent, PodListener } from "./cluster-access.ts";
import type { PodObject, PodStatus } from "./pod-types.ts";

const POLL_MS = 50;

export class FileAccess implements ClusterAccess {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #known = new Map<string, PodObject>();

  constructor(directory: string, clock: Clock, log: Logger) {
    this.#directory = directory;
    this.#clock = clock;
    this.#log = log;
  }

  watchPods(listener: PodListener, signal: AbortSignal): void {
    spawn(this.#log, "pod files", async () => {
      for (;;) {
        this.#scan(listener);
        await this.#clock.sleep(POLL_MS, signal);
      }
    });
  }

  updateStatus(pod: PodObject, status: PodStatus): Promise<void> {
    this.#write(`${pod.metadata.name}.status`, status);
    return Promise.resolve();
  }

  confirmDeleted(pod: PodObject): Promise<void> {
    this.#write(`${pod.metadata.name}.gone`, {});
    return Promise.resolve();
  }

  recordEvent(pod: PodObject, event: PodEvent): void {
    const path = join(this.#directory, `${pod.metadata.name}.events`);
    const before = existsSync(path) ? readFileSync(path, "utf8") : "";
    writeFileSync(path, `${before}${JSON.stringify(event)}\n`);
  }

  configMap(): Promise<ReadonlyMap<string, Buffer> | undefined> {
    return Promise.resolve(undefined);
  }

  secret(): Promise<ReadonlyMap<string, Buffer> | undefined> {
    return Promise.resolve(undefined);
  }

  services(): Promise<readonly never[]> {
    return Promise.resolve([]);
  }

  token(): Promise<BoundToken> {
    return Promise.reject(new AmbitError("NO_API", "there is no API that could issue tokens"));
  }

  #scan(listener: PodListener): void {
    const present = new Set(readdirSync(this.#directory).filter((file) => file.endsWith(".json")));
    for (const file of present) {
      if (this.#known.has(file)) continue;
      const pod = JSON.parse(readFileSync(join(this.#directory, file), "utf8")) as PodObject;
      this.#known.set(file, pod);
      listener.changed(pod);
    }
    for (const [file, pod] of this.#known) {
      if (present.has(file)) continue;
      this.#known.delete(file);
      listener.gone(pod.metadata.uid);
    }
  }

  #write(name: string, value: unknown): void {
    writeFileSync(join(this.#directory, name), JSON.stringify(value));
  }
}
