/**
 * Where the CA's material lives: Secret `cacerts` when someone plugged one in, else `istio-ca-secret`, which the
 * installer made empty (so that the controller needs no right to create Secrets). The leader fills the empty one once;
 * whoever loses that race reads the winner's. A Secret that turns bad is reported and the last good one stays in use.
 */
import { createWatchValue, type WatchValue } from "#core/base/watch-value.ts";
import type { Clock } from "#core/base/clock.ts";
import { Informer } from "#core/k8s/informer.ts";
import { apiVersion, kindPath, SECRET } from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import type { SecretObject } from "#core/k8s/object-types.ts";
import { projectSecret } from "#core/k8s/project.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { type CaFiles, type CaMaterial, makeSelfSignedRoot, readCaMaterial } from "./ca-material.ts";

export interface RootStoreDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly trustDomain: () => string;
  /** Only the leader makes a root. */
  readonly isLeader: () => boolean;
}

const SELF_SIGNED = "istio-ca-secret";
const PLUGGED_IN = "cacerts";

export class RootStore {
  readonly #deps: RootStoreDeps;
  readonly #material = createWatchValue<CaMaterial | undefined>(undefined);
  readonly #informers: ReadonlyMap<string, Informer<SecretObject>>;
  #creating = false;
  #triedFrom = "";
  #used = "";

  constructor(deps: RootStoreDeps) {
    this.#deps = deps;
    this.#informers = new Map([PLUGGED_IN, SELF_SIGNED].map((name) => [name, this.#informer(name)]));
  }

  /** Undefined until a usable Secret has been read. */
  get material(): WatchValue<CaMaterial | undefined> {
    return this.#material;
  }

  start(): void {
    for (const informer of this.#informers.values()) informer.start();
  }

  stop(): void {
    for (const informer of this.#informers.values()) informer.stop();
  }

  /** Reads what the informers have; makes a root when there is none and this process leads. */
  refresh(): void {
    const [plugged, own] = [this.#secret(PLUGGED_IN), this.#secret(SELF_SIGNED)];
    const source = plugged !== undefined && hasMaterial(plugged) ? plugged : own;
    if (source === undefined || !this.#informers.values().every((informer) => informer.hasSynced())) return;
    if (!hasMaterial(source)) {
      if (this.#deps.isLeader() && this.#material.get() === undefined) this.#create(source);
      return;
    }
    this.#use(source);
  }

  #use(secret: SecretObject): void {
    const mark = `${secret.metadata.name} ${secret.metadata.uid} ${secret.metadata.resourceVersion}`;
    if (mark === this.#used) return;
    this.#used = mark;
    const material = readCaMaterial(decode(secret));
    const { log } = this.#deps;
    if (!material.ok) {
      const [first] = material.problems;
      log.error(
        { secret: secret.metadata.name, entry: first?.path, error: first?.message },
        "CA secret refused",
      );
      return;
    }
    log.info(
      { secret: secret.metadata.name, not_after: new Date(material.value.notAfterMs).toISOString() },
      "CA loaded",
    );
    this.#material.set(material.value);
  }

  #create(secret: SecretObject): void {
    // The answer to a write comes before the watch tells of it: one attempt for each version of the empty Secret.
    if (this.#creating || this.#triedFrom === secret.metadata.resourceVersion) return;
    this.#creating = true;
    this.#triedFrom = secret.metadata.resourceVersion;
    const { client, clock, log, namespace, trustDomain } = this.#deps;
    const { type, metadata } = secret;
    const { name, resourceVersion, labels } = metadata;
    const files = makeSelfSignedRoot(trustDomain(), clock.nowMs());
    client
      .json({
        method: "PUT",
        path: kindPath(SECRET, { namespace, name }),
        body: {
          apiVersion: apiVersion(SECRET),
          kind: SECRET.kind,
          type,
          metadata: { name, namespace, resourceVersion, labels },
          data: encode(files),
        },
      })
      .then(() => log.info({ secret: name }, "root certificate created"))
      .catch((error: unknown) => {
        if (kubeStatus(error) !== 409) this.#triedFrom = "";
        log.warn({ secret: name, error: describeError(error) }, "root certificate not created");
      })
      .finally(() => {
        this.#creating = false;
      });
  }

  #secret(name: string): SecretObject | undefined {
    return this.#informers.get(name)?.get(`${this.#deps.namespace}/${name}`);
  }

  #informer(name: string): Informer<SecretObject> {
    const { client, clock, log, namespace } = this.#deps;
    return new Informer<SecretObject>({
      client,
      clock,
      log,
      kind: SECRET,
      namespace,
      project: projectSecret,
      fieldSelector: `metadata.name=${name}`,
      onBatch: () => this.refresh(),
    });
  }
}

function hasMaterial(secret: SecretObject): boolean {
  return (secret.data["ca-key.pem"] ?? "") !== "" && (secret.data["ca-cert.pem"] ?? "") !== "";
}

function decode(secret: SecretObject): CaFiles {
  return Object.fromEntries(
    Object.entries(secret.data).map(([name, text]) => [name, Buffer.from(text, "base64").toString("utf8")]),
  );
}

function encode(files: CaFiles): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString("base64")]),
  );
}
