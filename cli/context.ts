/** What a command may use of the world. Tests give their own. */
import type { Clock } from "#core/base/clock.ts";
import type { ClusterAccess } from "./cluster/cluster-access.ts";

/** Flags that every command has. */
export interface GlobalOptions {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** Namespace of pod arguments that name none. */
  readonly namespace: string;
  /** Where the mesh's own pods run. */
  readonly systemNamespace: string;
}

export interface CommandContext {
  readonly options: GlobalOptions;
  readonly clock: Clock;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Results: standard output. */
  out(text: string): void;
  /** Hints and warnings: standard error. */
  note(text: string): void;
  /** A file's text; `-` is standard input. */
  readText(path: string): Promise<string>;
  /** The cluster; throws `CLI_NO_CLUSTER` with what to do when none is configured. */
  cluster(): Promise<ClusterAccess>;
}
