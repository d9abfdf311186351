/** Where and when a run was made. */
import { availableParallelism, cpus, release } from "node:os";

export interface MachineFacts {
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
}

export function machineFacts(): MachineFacts {
  const model = cpus()[0]?.model.trim() ?? "unknown CPU";
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()} cores, ${model}`,
    kernel: release(),
  };
}
