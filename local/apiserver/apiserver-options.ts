/**
 * What the local cluster says to its embedded Kubernetes API and gets back from it.
 * No behaviour here: `start-apiserver.ts` implements it.
 */
import type { Logger } from "#core/runtime/log.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0: the kernel chooses. All addresses that say 0 share the port of the first. */
  readonly port: number;
}

/**
 * How the API reaches the kubelet of a node for `pods/log`, `exec` and `portforward`. The kubelet serves HTTP/1.1 on a
 * unix socket with the paths of a real kubelet:
 * `GET /containerLogs/{namespace}/{pod}/{container}?follow&tailLines&previous&timestamps&sinceSeconds&limitBytes`,
 * `GET /exec/{namespace}/{pod}/{container}?command=..&stdin=true&stdout=true&stderr=true&tty=true` (WebSocket upgrade, sub-protocol
 * `v5.channel.k8s.io` or `v4.channel.k8s.io`, passed through byte for byte) and `GET /portForward/{namespace}/{pod}?ports=..`.
 */
export interface KubeletConnector {
  /** Path of the kubelet's unix socket; undefined when the node has none (the caller gets 503 with the node's name). */
  socketPath(nodeName: string): string | undefined;
}

export interface ApiServerOptions {
  /** Objects, CA, keys and admin kubeconfig are kept here across restarts (mode 0700). */
  readonly dataDir: string;
  /** Loopback and addresses of the cluster's own namespaces only. */
  readonly listen: readonly ListenAddress[];
  /** Listening TCP sockets made in other network namespaces; the server owns them from now on. */
  readonly listenFds?: readonly number[];
  /** Further host names or addresses for the serving certificate: node addresses, names users dial. */
  readonly advertise: readonly string[];
  /** IPv4 block of Service addresses; its first address is the Service `kubernetes`. */
  readonly serviceCidr: string;
  /** IPv6 block of Service addresses: Services become dual stack when given. */
  readonly serviceCidrV6?: string;
  /** What the Service `kubernetes` forwards to; without it the Service has no endpoints. */
  readonly endpoints?: readonly ListenAddress[];
  readonly kubelets?: KubeletConnector;
  /** `storage` leaves out those that make pods (workloads, scheduler): for tests of the API alone. */
  readonly controllers?: "all" | "storage";
  readonly log: Logger;
}

export interface RunningApiServer {
  /** Port of the first listen address. */
  readonly port: number;
  readonly caPem: string;
  /** Text of a kubeconfig with a client certificate of group `system:masters`. */
  readonly adminKubeconfig: string;
  /** Kubeconfig text of a new client certificate (`CN` = user, `O` = groups), valid for a year. */
  issueClientKubeconfig(user: string, groups: readonly string[], server?: string): string;
  /** Serves on one more listening socket, for example one made inside a network namespace. */
  serveFd(fd: number): Promise<void>;
  /** Replaces the addresses behind the Service `kubernetes`. */
  setEndpoints(endpoints: readonly ListenAddress[]): Promise<void>;
  close(): Promise<void>;
}
