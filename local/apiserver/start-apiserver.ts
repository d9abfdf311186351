/** Composition of the embedded Kubernetes API server: storage, REST, authentication, controllers and the TLS front. */
import type { ApiServerOptions, RunningApiServer } from "./apiserver-options.ts";

export type {
  ApiServerOptions,
  KubeletConnector,
  ListenAddress,
  RunningApiServer,
} from "./apiserver-options.ts";

/** Starts the server; resolves when it answers on every address and its first controllers have run. */
export function startApiServer(options: ApiServerOptions): Promise<RunningApiServer> {
  return Promise.reject(new Error(`not built yet (${options.dataDir})`));
}
