/** Keeps a node's service table and DNS zone equal to the cluster's Services and EndpointSlices. Runs in the node's namespace. */
import { spawn as spawnProcess } from "node:child_process";
import type { Clock } from "#core/base/clock.ts";
import { Informer } from "#core/k8s/informer.ts";
import { ENDPOINT_SLICE, type Kind, SERVICE } from "#core/k8s/kinds.ts";
import type { KubeClient } from "#core/k8s/kube-client.ts";
import { type KubeObject } from "#core/k8s/object-types.ts";
import { projectMeta } from "#core/k8s/project.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { API_VIPS, DNS_VIPS } from "./addresses.ts";
import { buildZone, type Zone } from "./dns-zone.ts";
import { type EndpointSliceObject, type ServiceObject, virtualPorts } from "./service-ports.ts";
import { serviceRuleset } from "./service-rules.ts";

interface Kept<T> extends KubeObject {
  readonly raw: T;
}

export interface ServiceProxyDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

const DEBOUNCE_MS = 100;
const RETRY_MS = 1_000;
const NFT_TIMEOUT_MS = 20_000;

export class ServiceProxy {
  readonly #deps: ServiceProxyDeps;
  readonly #services: Informer<Kept<ServiceObject>>;
  readonly #slices: Informer<Kept<EndpointSliceObject>>;
  readonly #local = new Set<string>([...API_VIPS, ...DNS_VIPS]);
  #zone: Zone | undefined;
  #applied = "";
  #pending = false;
  #busy = false;

  constructor(deps: ServiceProxyDeps) {
    this.#deps = deps;
    this.#services = this.#informer<ServiceObject>(SERVICE);
    this.#slices = this.#informer<EndpointSliceObject>(ENDPOINT_SLICE);
  }

  start(): void {
    this.#services.start();
    this.#slices.start();
  }

  stop(): void {
    this.#services.stop();
    this.#slices.stop();
  }

  /** Built when first asked for after a change. */
  zone(): Zone {
    this.#zone ??= buildZone(valuesOf(this.#services), valuesOf(this.#slices));
    return this.#zone;
  }

  #informer<T>(kind: Kind): Informer<Kept<T>> {
    const { client, log } = this.#deps;
    const project = (raw: unknown): Kept<T> => ({ metadata: projectMeta(raw), raw: raw as T });
    return new Informer<Kept<T>>({ client, log, kind, project, onBatch: () => this.#changed() });
  }

  #changed(): void {
    this.#zone = undefined;
    this.#schedule(DEBOUNCE_MS);
  }

  #schedule(delayMs: number): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#deps.clock.after(delayMs, () => {
      this.#pending = false;
      void this.#apply();
    });
  }

  /** Nothing is written before both lists are known: an empty table would cut services off. */
  async #apply(): Promise<void> {
    if (!this.#services.hasSynced() || !this.#slices.hasSynced()) return;
    if (this.#busy) {
      this.#schedule(DEBOUNCE_MS);
      return;
    }
    const rules = serviceRuleset(virtualPorts(valuesOf(this.#services), valuesOf(this.#slices), this.#local));
    if (rules === this.#applied) return;
    this.#busy = true;
    try {
      await applyRuleset(rules);
      this.#applied = rules;
    } catch (error) {
      this.#deps.log.error({ error: describeError(error) }, "service table not applied");
      this.#schedule(RETRY_MS);
    } finally {
      this.#busy = false;
    }
  }
}

function valuesOf<T>(informer: Informer<Kept<T>>): readonly T[] {
  return [...informer.objects().values()].map((object) => object.raw);
}

/** One atomic transaction in the network namespace of this process. */
export function applyRuleset(rules: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawnProcess("nft", ["-f", "-"], {
      stdio: ["pipe", "ignore", "pipe"],
      timeout: NFT_TIMEOUT_MS,
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 4096)));
    child.on("error", (error) =>
      reject(new AmbitError("NFT_FAILED", `nft: ${error.message} (package nftables)`)),
    );
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new AmbitError("NFT_FAILED", `nft refused the service table: ${said}`)),
    );
    child.stdin.on("error", () => undefined);
    child.stdin.end(rules);
  });
}
