/** All controllers, started and stopped together. */
import type { RestDeps } from "../rest/context.ts";

/** Returns what stops them. */
export function startControllers(_deps: RestDeps, _caPem: string): () => void {
  return () => undefined;
}
