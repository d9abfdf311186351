/** One log line for every problem that appears: a refused address or a field without effect must not go unnoticed. */
import type { Logger } from "#core/runtime/log.ts";
import type { Collection } from "./collections/collection.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { TranslationProblem } from "./translate/problem.ts";

interface Holder {
  readonly problems: readonly TranslationProblem[];
}

/** Claims that were refused are warnings, since somebody may be trying something; the rest is information. */
export function logProblems(index: MeshIndex, log: Logger): void {
  const holders = [
    index.policies.meshConfigs,
    index.policies.authorizationPolicies,
    index.policies.reportedPeers,
    index.workloads,
    index.services,
    index.sliceWorkloads,
    index.waypoints.gateways,
  ] as unknown as readonly Collection<Holder>[];
  for (const holder of holders) {
    holder.subscribe((changes) => {
      for (const { old, new: current } of changes) {
        const known = new Set(old?.problems.map(keyOf));
        for (const problem of current?.problems ?? []) if (!known.has(keyOf(problem))) write(problem, log);
      }
    });
  }
}

function write({ kind, namespace, name, path, reason, message }: TranslationProblem, log: Logger): void {
  const fields = { kind, object: `${namespace}/${name}`, path, reason, problem: message };
  if (reason === "Refused") log.warn(fields, "claim refused");
  else log.info(fields, "field without effect");
}

function keyOf(problem: TranslationProblem): string {
  return `${problem.path} ${problem.message}`;
}
