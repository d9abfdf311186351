/** Port 15012 from the moment a CA is loaded: its certificate follows the CA and is renewed at half-life. */
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { CaMaterial } from "./ca/ca-material.ts";
import type { CaService } from "./ca/ca-service.ts";
import type { RootStore } from "./ca/root-store.ts";
import type { ControllerConfig } from "./config.ts";
import { type RunningServer, startGrpcServer } from "./grpc-server.ts";
import type { DeltaServer } from "./push/delta-server.ts";
import { keepRenewing, makeServerContext, RenewableCredentials } from "./server-certificate.ts";

export interface SecureServerOptions {
  readonly config: ControllerConfig;
  readonly log: Logger;
  readonly clock: Clock;
  /** The port is open. */
  readonly onReady: () => void;
}

export interface SecureServer {
  /** 0 until open. */
  port(): number;
  stop(): Promise<void>;
}

const STOP_GRACE_MS = 5_000;

export function startSecureServer(
  parts: { readonly store: RootStore; readonly ca: CaService; readonly xds: DeltaServer },
  options: SecureServerOptions,
): SecureServer {
  const { config, log, clock } = options;
  let credentials: RenewableCredentials | undefined;
  let running: RunningServer | undefined;
  const contextFor = (ca: CaMaterial): ReturnType<typeof makeServerContext> =>
    makeServerContext(ca, config.serverNames, clock.nowMs());
  const renew = (): void => {
    const ca = parts.store.material.get();
    if (ca === undefined) return;
    if (credentials !== undefined) {
      credentials.renew(contextFor(ca));
      return;
    }
    credentials = new RenewableCredentials(contextFor(ca));
    const server = { host: "::", port: config.ports.grpc, credentials, ca: parts.ca, xds: parts.xds, log };
    spawn(log, "grpc-server", async () => {
      running = await startGrpcServer(server);
      log.info({ port: running.port }, "serving xds and certificates");
      options.onReady();
    });
  };
  const unsubscribe = parts.store.material.subscribe(renew);
  const endRenewal = keepRenewing(clock, renew);
  return {
    port: () => running?.port ?? 0,
    stop: async () => {
      unsubscribe();
      endRenewal();
      await running?.stop(STOP_GRACE_MS);
    },
  };
}
