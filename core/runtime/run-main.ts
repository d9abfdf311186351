/** The frame of every daemon: start, wait for SIGTERM or SIGINT, drain, exit. One of the three catch points. */
import { coreDumpsPossible } from "./core-dumps.ts";
import { describeError } from "./errors.ts";
import type { Logger } from "./log.ts";

export interface Daemon {
  /** Stops accepting, finishes what runs, returns. */
  stop(): Promise<void>;
  /** Resolves when the daemon asks to end by itself (for example /quitquitquit). */
  readonly finished?: Promise<void>;
}

/** Runs `start`, then stops the daemon at the first SIGTERM or SIGINT; a second signal exits at once with 130. */
export async function runMain(log: Logger, start: () => Promise<Daemon>): Promise<void> {
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (signal: string): void => {
    signals++;
    if (signals > 1) process.exit(130);
    log.info({ signal }, "stopping");
    resolve();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("unhandledRejection", (error) => fatal(log, error));
  process.on("uncaughtException", (error) => fatal(log, error));
  if (coreDumpsPossible())
    log.warn({}, "core dumps are possible: a crash could write keys to disk (start with ulimit -c 0)");
  try {
    const daemon = await start();
    await Promise.race([stopped, daemon.finished ?? stopped]);
    await daemon.stop();
    process.exit(0);
  } catch (error) {
    fatal(log, error);
  }
}

function fatal(log: Logger, error: unknown): never {
  log.error(
    { error: describeError(error), stack: error instanceof Error ? error.stack : undefined },
    "fatal",
  );
  process.exit(1);
}
