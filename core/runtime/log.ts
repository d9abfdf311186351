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
  /** HOT PATH, for access logs: fields that are JSON text already, as `"a":1,"b":"c"`; not empty. */
  text(level: "info" | "warn", fields: string, message: string): void;
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

/** Of the last line: many have the same. */
let stampedMs = 0;
let stamp = "";

/** Characters of one write. */
const MAX_WAITING = 65_536;

export function createLog(scope: string, options: LogOptions): LogControl {
  const destination = options.write === undefined ? standardError() : { write: options.write };
  const base = pino(
    { base: null, level: "trace", timestamp: timestamp, formatters: { level: levelName } },
    destination,
  );
  // One record per name, shared by every logger of it: loggers come and go with streams and must leave nothing behind.
  const scopes = new Map<string, Scope>();
  let fallback = options.level;

  const scopeOf = (name: string): Scope => {
    const scope = scopes.get(name) ?? { level: fallback };
    scopes.set(name, scope);
    return scope;
  };
  const make = (name: string, bindings: LogFields): Logger =>
    wrap(
      base.child({ scope: name, ...bindings }),
      { name, scope: scopeOf(name), text: textWriter(destination, { scope: name, ...bindings }) },
      (childName, fields) => make(childName, { ...bindings, ...fields }),
    );
  return {
    root: make(scope, {}),
    setLevel: (level, only) => {
      if (only === undefined) fallback = level;
      for (const [name, known] of scopes) if (only === undefined || only === name) known.level = level;
    },
    levels: () => Object.fromEntries([...scopes].map(([name, { level }]) => [name, level])),
  };
}

interface Scope {
  level: LogLevel;
}

interface Named {
  readonly name: string;
  readonly scope: Scope;
  readonly text: Logger["text"];
}

const RANK: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warn: 3,
  error: 4,
  silent: 5,
};

/** Lines of one turn of the event loop are one write: an access log of thousands of lines a second needs it. */
function standardError(): { write(line: string): void } {
  const file = pino.destination({ dest: 2, sync: true });
  let waiting = "";
  const flush = (): void => {
    const text = waiting;
    waiting = "";
    if (text !== "") file.write(text);
  };
  process.on("exit", flush);
  return {
    write: (line) => {
      if (waiting === "") setImmediate(flush);
      waiting += line;
      if (waiting.length > MAX_WAITING) flush();
    },
  };
}

/** Discards everything; for tests and for callers that have no log. */
export const silentLogger: Logger = createLog("silent", { level: "silent", write: () => undefined }).root;

function wrap(
  logger: pino.Logger,
  { name, scope, text }: Named,
  child: (name: string, fields: LogFields) => Logger,
): Logger {
  const isEnabled = (level: LogLevel): boolean => level !== "silent" && RANK[level] >= RANK[scope.level];
  const at =
    (level: Exclude<LogLevel, "silent">) =>
    (fields: LogFields, message: string): void => {
      if (isEnabled(level)) logger[level](fields, message);
    };
  return {
    scope: name,
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    text: (level, fields, message) => {
      if (isEnabled(level)) text(level, fields, message);
    },
    isEnabled,
    child: (childName, fields = {}) => child(childName, fields),
  };
}

/** A line as pino writes it, without asking of each value what it is. */
function textWriter(destination: { write(line: string): void }, bindings: LogFields): Logger["text"] {
  let bound: string | undefined;
  return (level, fields, message) => {
    bound ??= JSON.stringify(bindings).slice(1, -1);
    destination.write(
      `{"level":"${level}"${timestamp()},${bound},${fields},"msg":${JSON.stringify(message)}}\n`,
    );
  };
}

function timestamp(): string {
  const nowMs = Date.now();
  if (nowMs !== stampedMs) {
    stampedMs = nowMs;
    stamp = `,"ts":"${new Date(nowMs).toISOString()}"`;
  }
  return stamp;
}

function levelName(label: string): object {
  return { level: label };
}
