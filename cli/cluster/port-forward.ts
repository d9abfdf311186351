/**
 * Requests to ports inside pods, loopback ones included. The seam that hides how bytes get there:
 * today the port-forward of the Kubernetes API over WebSocket (`kube-port-forward.ts`).
 */

export interface PodAddress {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface PodRequest {
  readonly method: "GET" | "POST";
  /** Path and query. */
  readonly path: string;
}

export interface PodReply {
  readonly status: number;
  readonly body: string;
}

export interface PodTransport {
  /** One HTTP request to a port of a pod. Throws AmbitError `CLI_POD_UNREACHABLE`; any HTTP status is a reply. */
  request(pod: PodAddress, request: PodRequest, signal: AbortSignal): Promise<PodReply>;
}
