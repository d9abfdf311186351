/** The cluster of a kubeconfig. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { KubeClient, kubeStatus } from "#core/k8s/kube-client.ts";
import { kindPath, POD } from "#core/k8s/kinds.ts";
import { jsonList, jsonObject } from "#core/k8s/json-read.ts";
import { projectPod } from "#core/k8s/project.ts";
import { EnvReader } from "#core/runtime/env.ts";
import { AmbitError, describeError } from "#core/runtime/errors.ts";
import type { GlobalOptions } from "../context.ts";
import type { ClusterAccess, PodRef } from "./cluster-access.ts";
import { kubeObjects, type SendRequest } from "./kube-objects.ts";
import { kubePortForward } from "./kube-port-forward.ts";

const REQUEST_TIMEOUT_MS = 15_000;

/** Reads credentials; nothing is sent yet. Throws `CLI_NO_CLUSTER`. */
export async function openCluster(options: GlobalOptions, signal: AbortSignal): Promise<ClusterAccess> {
  const config = loadConfig(options);
  const client = new KubeClient(config);
  const send = sender(client, signal);
  const get = (path: string): Promise<unknown> => send({ method: "GET", path });
  return {
    transport: kubePortForward(config),
    objects: kubeObjects(send),
    listPods: async (namespace) => {
      const list = jsonObject(await get(kindPath(POD, { namespace })));
      return jsonList(list["items"]).map(podRef);
    },
    getPod: async (namespace, name) => {
      try {
        return podRef(await get(kindPath(POD, { namespace, name })));
      } catch (error) {
        if (kubeStatus(error) === 404) return undefined;
        throw error;
      }
    },
  };
}

/** Idle connections would keep the command from ending: they are closed after the last of the requests under way. */
function sender(client: KubeClient, signal: AbortSignal): SendRequest {
  let underWay = 0;
  return async (request) => {
    underWay++;
    try {
      return await client.json({ ...request, timeoutMs: REQUEST_TIMEOUT_MS, signal });
    } finally {
      if (--underWay === 0) client.close();
    }
  };
}

function podRef(raw: unknown): PodRef {
  const pod = projectPod(raw);
  return {
    namespace: pod.metadata.namespace,
    name: pod.metadata.name,
    node: pod.node,
    ready: pod.ready,
    running: pod.phase === "Running" && pod.metadata.deletionMs === undefined,
    owner: pod.owner === undefined ? "" : `${pod.owner.kind}/${pod.owner.name}`,
  };
}

function loadConfig(options: GlobalOptions): KubeConfig {
  const config = new KubeConfig();
  const fromEnvironment = new EnvReader().string("KUBECONFIG", { default: "", help: "kubeconfig files" });
  const isConfigured =
    options.kubeconfig !== undefined ||
    fromEnvironment !== "" ||
    existsSync(join(homedir(), ".kube", "config"));
  if (!isConfigured) throw new AmbitError("CLI_NO_CLUSTER", "no Kubernetes cluster is configured");
  try {
    if (options.kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(options.kubeconfig);
  } catch (cause) {
    const where = options.kubeconfig ?? (fromEnvironment || "~/.kube/config");
    throw new AmbitError("CLI_NO_CLUSTER", `cannot read the kubeconfig ${where}: ${describeError(cause)}`, {
      cause,
    });
  }
  if (options.context !== undefined) chooseContext(config, options.context);
  if (config.getCurrentCluster() === null)
    throw new AmbitError("CLI_NO_CLUSTER", "the kubeconfig names no current cluster");
  return config;
}

function chooseContext(config: KubeConfig, name: string): void {
  const names = config.getContexts().map((context) => context.name);
  if (!names.includes(name))
    throw new AmbitError(
      "CLI_NO_CLUSTER",
      `the kubeconfig has no context "${name}"; it has ${names.join(", ")}`,
    );
  config.setCurrentContext(name);
}
