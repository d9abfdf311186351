/** The mesh from a file, read again whenever it changes. A file that cannot be read leaves what is in force. */
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import { parse } from "yaml";
import type { MeshResource, MeshState, Removal } from "#core/state/mesh-state.ts";
import { requireLocalState } from "../state/read-local-state.ts";

const POLL_MS = 250;

/** Loads once (throws when that fails), then follows the file until the signal fires. */
export function followStateFile(path: string, state: MeshState, log: Logger, signal: AbortSignal): void {
  commitFile(path, state);
  const onChange = (): void => {
    try {
      commitFile(path, state);
      log.info({ path, version: state.version }, "state file read again");
    } catch (error) {
      log.error({ path, error: describeError(error) }, "state file not usable; the previous state stays");
    }
  };
  watchFile(path, { interval: POLL_MS, persistent: false }, onChange);
  signal.addEventListener("abort", () => unwatchFile(path, onChange), { once: true });
}

function commitFile(path: string, state: MeshState): void {
  const upserts = requireLocalState(parse(readFileSync(path, "utf8")), path);
  const named = new Set(upserts.map(nameOf));
  const held: readonly Removal[] = [
    ...[...state.workloads.values()].map((w) => ({ type: "address", name: w.uid }) as const),
    ...[...state.services.values()].map(
      (s) => ({ type: "address", name: `${s.namespace}/${s.hostname}` }) as const,
    ),
    ...[...state.policies.values()].map(
      (p) => ({ type: "authorization", name: `${p.namespace}/${p.name}` }) as const,
    ),
  ];
  state.commit({ upserts, removals: held.filter(({ type, name }) => !named.has(`${type} ${name}`)) });
}

function nameOf(resource: MeshResource): string {
  switch (resource.kind) {
    case "workload":
      return `address ${resource.workload.uid}`;
    case "service":
      return `address ${resource.service.namespace}/${resource.service.hostname}`;
    case "authorization":
      return `authorization ${resource.policy.namespace}/${resource.policy.name}`;
  }
}
