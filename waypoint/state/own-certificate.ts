/** The one identity of this process: asked for at the start, again and again until it is there. */
import type { CertificateManager } from "#core/identity/cert-manager.ts";
import type { SpiffeId } from "#core/model/spiffe-id.ts";
import type { Logger } from "#core/runtime/log.ts";
import { spawn } from "#core/runtime/spawn.ts";
import type { OwnCertificate } from "../waypoint-deps.ts";

export interface OwnCertificateDeps {
  readonly identity: SpiffeId;
  readonly certificates: CertificateManager;
  readonly log: Logger;
  readonly controller: AbortController;
}

export function followOwnCertificate({
  identity,
  certificates,
  log,
  controller,
}: OwnCertificateDeps): OwnCertificate {
  spawn(log, "own-certificate", async () => {
    while (!controller.signal.aborted) {
      try {
        await certificates.fetch(identity, "connection", controller.signal);
        return;
      } catch {
        // The manager has said why, and waits before it asks again.
      }
    }
  });
  return { current: () => certificates.current(identity) };
}
