/** Finds the credentials for the Kubernetes API: an explicit kubeconfig file, else the pod's service account. */
import { KubeConfig } from "@kubernetes/client-node";
import { AmbitError } from "../runtime/errors.ts";
import { KubeClient } from "./kube-client.ts";

/** `kubeconfig` is a path, empty inside a pod. Throws `KUBE_NO_CLUSTER` with what to do. */
export function loadKubeClient(kubeconfig: string): KubeClient {
  const config = new KubeConfig();
  try {
    if (kubeconfig === "") config.loadFromCluster();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    const where = kubeconfig === "" ? "the pod's service account" : kubeconfig;
    throw new AmbitError("KUBE_NO_CLUSTER", `cannot read Kubernetes credentials from ${where}`, { cause });
  }
  return new KubeClient(config);
}

/** A client for a server given by address, as tests and the local cluster need. */
export function kubeClientFor(options: {
  readonly server: string;
  readonly token?: string;
  readonly caPem?: string;
}): KubeClient {
  const config = new KubeConfig();
  const caData = options.caPem === undefined ? undefined : Buffer.from(options.caPem).toString("base64");
  // client-node refuses plain HTTP (loopback, in tests) unless told that there is no TLS to verify.
  const skipTLSVerify = options.server.startsWith("http:");
  config.loadFromOptions({
    clusters: [{ name: "cluster", server: options.server, skipTLSVerify, ...(caData && { caData }) }],
    users: [{ name: "user", ...(options.token !== undefined && { token: options.token }) }],
    contexts: [{ name: "context", cluster: "cluster", user: "user" }],
    currentContext: "context",
  });
  return new KubeClient(config);
}
