/** The cluster through its API, with the node's own credentials (`system:node:<name>`). */
import { randomBytes } from "node:crypto";
import type { Clock } from "#core/base/clock.ts";
import { Lru } from "#core/base/lru.ts";
import { createObject, mergePatch } from "#core/k8s/apply.ts";
import { Informer } from "#core/k8s/informer.ts";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import {
  CONFIG_MAP,
  EVENT,
  type Kind,
  kindPath,
  POD,
  SECRET,
  SERVICE,
  SERVICE_ACCOUNT,
} from "#core/k8s/kinds.ts";
import { type KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import type { KubeObject } from "#core/k8s/object-types.ts";
import { projectMeta } from "#core/k8s/project.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { BoundToken, ClusterAccess, PodEvent, PodListener } from "./cluster-access.ts";
import type { PodObject, PodStatus } from "./pod-types.ts";
import type { LinkedService } from "./service-links.ts";

/** An object as served, beside the meta data that the informer needs. */
export interface RawObject<T> extends KubeObject {
  readonly raw: T;
}

export function projectRaw<T>(raw: unknown): RawObject<T> {
  return { metadata: projectMeta(raw), raw: raw as T };
}

export interface ApiAccessDeps {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const REMEMBERED_EVENTS = 512;

export class ApiAccess implements ClusterAccess {
  readonly #deps: ApiAccessDeps;
  readonly #events = new Lru<string, { readonly name: string; readonly count: number }>(REMEMBERED_EVENTS);

  constructor(deps: ApiAccessDeps) {
    this.#deps = deps;
  }

  watchPods(listener: PodListener, signal: AbortSignal): void {
    const { client, log, nodeName } = this.#deps;
    const informer = new Informer<RawObject<PodObject>>({
      client,
      kind: POD,
      project: projectRaw,
      fieldSelector: `spec.nodeName=${nodeName}`,
      log,
      onBatch: (changes) => {
        for (const change of changes) {
          const replaced = change.old !== undefined && change.old.metadata.uid !== change.new?.metadata.uid;
          if (replaced) listener.gone(change.old.metadata.uid);
          if (change.new !== undefined) listener.changed(change.new.raw);
        }
      },
    });
    informer.start();
    signal.addEventListener("abort", () => informer.stop(), { once: true });
  }

  async updateStatus(pod: PodObject, status: PodStatus): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const target = { kind: POD, namespace, name, subresource: "status" };
    try {
      // A pod whose sandbox is lost has no address: without the null a merge would leave the old one.
      const wanted = { podIP: null, ...status };
      await mergePatch(this.#deps.client, target, { metadata: { uid }, status: wanted });
    } catch (error) {
      if (kubeStatus(error) !== 404 && kubeStatus(error) !== 409) throw error;
    }
  }

  async confirmDeleted(pod: PodObject): Promise<void> {
    const { name, namespace, uid, deletionTimestamp } = pod.metadata;
    if (deletionTimestamp === undefined) return;
    try {
      const body = { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: 0, preconditions: { uid } };
      await this.#deps.client.json({ method: "DELETE", path: kindPath(POD, { namespace, name }), body });
    } catch (error) {
      if (kubeStatus(error) !== 404 && kubeStatus(error) !== 409) throw error;
    }
  }

  recordEvent(pod: PodObject, event: PodEvent): void {
    this.#writeEvent(pod, event).catch((error: unknown) =>
      this.#deps.log.debug({ reason: event.reason, error: describeError(error) }, "event lost"),
    );
  }

  configMap(namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined> {
    return this.#data(CONFIG_MAP, namespace, name);
  }

  secret(namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined> {
    return this.#data(SECRET, namespace, name);
  }

  async services(namespace: string): Promise<readonly LinkedService[]> {
    const list = await this.#deps.client.json({ method: "GET", path: kindPath(SERVICE, { namespace }) });
    return jsonList(jsonObject(list)["items"]).map((item) => {
      const { metadata, spec } = jsonObject(item);
      const { clusterIP, ports } = jsonObject(spec);
      return {
        name: jsonText(jsonObject(metadata)["name"]),
        clusterIp: jsonText(clusterIP),
        ports: jsonList(ports) as LinkedService["ports"],
      };
    });
  }

  async token(pod: PodObject, audience: string | undefined, expirationSeconds: number): Promise<BoundToken> {
    const { name, namespace, uid } = pod.metadata;
    const answer = await this.#deps.client.json({
      method: "POST",
      path: kindPath(SERVICE_ACCOUNT, {
        namespace,
        name: pod.spec.serviceAccountName ?? "default",
        subresource: "token",
      }),
      body: {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: {
          ...(audience === undefined || audience === "" ? {} : { audiences: [audience] }),
          expirationSeconds,
          boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
        },
      },
    });
    const status = jsonObject(jsonObject(answer)["status"]);
    return {
      token: jsonText(status["token"]),
      expiresAtMs: Date.parse(jsonText(status["expirationTimestamp"])),
    };
  }

  async #data(kind: Kind, namespace: string, name: string): Promise<ReadonlyMap<string, Buffer> | undefined> {
    try {
      const object = jsonObject(
        await this.#deps.client.json({ method: "GET", path: kindPath(kind, { namespace, name }) }),
      );
      const encoding = kind === SECRET ? "base64" : "utf8";
      const text = Object.entries(jsonObject(object["data"])).map(
        ([key, value]) => [key, Buffer.from(jsonText(value), encoding)] as const,
      );
      const binary = Object.entries(jsonObject(object["binaryData"])).map(
        ([key, value]) => [key, Buffer.from(jsonText(value), "base64")] as const,
      );
      return new Map([...text, ...binary]);
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  /** The same event again counts up the one that is there. */
  async #writeEvent(pod: PodObject, event: PodEvent): Promise<void> {
    const { client, nodeName, clock } = this.#deps;
    const { name, namespace, uid } = pod.metadata;
    const key = `${uid} ${event.reason} ${event.message}`;
    const now = new Date(clock.nowMs()).toISOString().replace(/\.\d+Z/, "Z");
    const known = this.#events.get(key);
    if (known !== undefined) {
      const count = known.count + 1;
      this.#events.set(key, { name: known.name, count });
      await mergePatch(client, { kind: EVENT, namespace, name: known.name }, { count, lastTimestamp: now });
      return;
    }
    const eventName = `${name}.${randomBytes(8).toString("hex")}`;
    this.#events.set(key, { name: eventName, count: 1 });
    await createObject(client, EVENT, namespace, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: eventName, namespace },
      involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid },
      ...event,
      message: event.message.slice(0, 1024),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "kubelet", host: nodeName },
      reportingComponent: "kubelet",
      reportingInstance: nodeName,
    });
  }
}
