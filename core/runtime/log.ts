/**
 * JSON lines on stderr: ts, level, scope, msg, then fields.
 * Loggers are passed in deps and narrowed with `child`; messages are constant lower-case phrases.
 */
import pino from "pino";

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

export interface Logger {
  readonly scope: string;
  trace(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** True when a line at `level` would be written: guard for costly fields. */
  isEnabled(level: LogLevel): boolean;
  /** A logger of another scope with extra fields on every line. */
  child(scope: string, fields?: LogFields): Logger;
}

export interface LogControl {
  readonly root: Logger;
  /** Changes the level of one scope, or of all when `scope` is undefined. */
  setLevel(level: LogLevel, scope?: string): void;
  levels(): Readonly<Record<string, LogLevel>>;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Where lines go; standard error unless a test collects them. */
  readonly write?: (line: string) => void;
}

export function createLog(scope: string, options: LogOptions): LogControl {
  const destination =
    options.write === undefined ? pino.destination({ dest: 2, sync: true }) : { write: options.write };
  const base = pino(
    { base: null, level: "trace", timestamp: timestamp, formatters: { level: levelName } },
    destination,
  );
  const byScope = new Map<string, pino.Logger[]>();
  const levels = new Map<string, LogLevel>();
  let fallback = options.level;

  const make = (name: string, bindings: LogFields): Logger => {
    const logger = base.child({ scope: name, ...bindings }, { level: levels.get(name) ?? fallback });
    byScope.set(name, [...(byScope.get(name) ?? []), logger]);
    return wrap(logger, name, (childScope, fields) => make(childScope, { ...bindings, ...fields }));
  };
  return {
    root: make(scope, {}),
    setLevel: (level, only) => {
      if (only === undefined) fallback = level;
      for (const [name, loggers] of byScope) {
        if (only !== undefined && only !== name) continue;
        levels.set(name, level);
        for (const logger of loggers) logger.level = level;
      }
    },
    levels: () => Object.fromEntries([...byScope.keys()].map((name) => [name, levels.get(name) ?? fallback])),
  };
}

/** Discards everything; for tests and for callers that have no log. */
export const silentLogger: Logger = createLog("silent", { level: "silent", write: () => undefined }).root;

function wrap(
  logger: pino.Logger,
  scope: string,
  child: (scope: string, fields: LogFields) => Logger,
): Logger {
  return {
    scope,
    trace: (fields, message) => logger.trace(fields, message),
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    isEnabled: (level) => logger.isLevelEnabled(level),
    child: (name, fields = {}) => child(name, fields),
  };
}

function timestamp(): string {
  return `,"ts":"${new Date().toISOString()}"`;
}

function levelName(label: string): object {
  return { level: label };
}
