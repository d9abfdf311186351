/**
 * Which backend carries the bytes. `AMBIT_HANDLES=raw|public` decides; without it the raw one is probed and used
 * when this Node has everything it needs, with one log line when it has not.
 */
import { EnvReader } from "../runtime/env.ts";
import type { Logger } from "../runtime/log.ts";
import type { HandleBackend } from "./handle-backend.ts";
import { publicBackend } from "./public-backend.ts";
import { rawBackend } from "./raw-backend.ts";

export type { HandleBackend } from "./handle-backend.ts";

export interface ChooseBackendOptions {
  /** Overrides AMBIT_HANDLES. */
  readonly wanted?: "raw" | "public";
  readonly log?: Logger;
}

/** Throws HANDLE_RAW_UNAVAILABLE only when the raw backend was asked for by name. */
export function chooseBackend(options: ChooseBackendOptions = {}): HandleBackend {
  const wanted = options.wanted ?? backendFromEnvironment();
  if (wanted === "public") return publicBackend;
  const raw = rawBackend();
  if (raw.kind === "available") return raw.backend;
  if (wanted === "raw") throw raw.error;
  options.log?.warn({ reason: raw.error.message }, "raw socket handles are not available, using node:net");
  return publicBackend;
}

function backendFromEnvironment(): "raw" | "public" | undefined {
  const value = new EnvReader().string("AMBIT_HANDLES", {
    default: "",
    help: "raw or public: which socket implementation carries the traffic; empty chooses",
  });
  return value === "raw" || value === "public" ? value : undefined;
}
