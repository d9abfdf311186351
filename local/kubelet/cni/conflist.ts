/** CNI network configuration lists: which file counts, and what each plugin is told. Parsing is pure; `loadConflist` reads. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface PluginConf extends JsonObject {
  readonly type: string;
}

export interface Conflist {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly plugins: readonly PluginConf[];
  /** The file's own text, kept in the result cache as libcni does. */
  readonly source: string;
}

const MAX_BYTES = 1024 * 1024;

export function parseConflist(text: string): Parsed<Conflist> {
  if (text.length > MAX_BYTES) return problem("", "is larger than 1 MiB");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return problem("", "is not JSON");
  }
  if (!isObject(value)) return problem("", "is not a JSON object");
  const { name, cniVersion, plugins, disableCheck } = value;
  if (typeof name !== "string" || !/^[a-zA-Z0-9][\w.-]*$/.test(name))
    return problem("name", "must be a network name");
  if (!Array.isArray(plugins) || plugins.length === 0)
    return problem("plugins", "must list at least one plugin");
  const typed = plugins.filter(
    (plugin): plugin is PluginConf => isObject(plugin) && isPluginType(plugin["type"]),
  );
  if (typed.length !== plugins.length)
    return problem("plugins", "each needs a type that is a plain file name");
  const version = typeof cniVersion === "string" ? cniVersion : "0.2.0";
  return parsed({
    name,
    cniVersion: version,
    disableCheck: disableCheck === true,
    plugins: typed,
    source: text,
  });
}

/** The lexicographically first conflist of the directory, read anew each time (containerd follows the directory). */
export function loadConflist(directory: string): Parsed<Conflist> {
  let files: readonly string[];
  try {
    files = readdirSync(directory)
      .filter((file) => file.endsWith(".conflist"))
      .toSorted();
  } catch {
    files = [];
  }
  const [first] = files;
  if (first === undefined)
    return problem("", `no network configuration in ${directory}: cni plugin not initialized`);
  const list = parseConflist(readFileSync(join(directory, first), "utf8"));
  return list.ok
    ? list
    : { ok: false, problems: list.problems.map((p) => ({ ...p, message: `${first}: ${p.message}` })) };
}

/** What one plugin reads: its own keys, name and version of the list, the previous result, and the capabilities it asked for. */
export function pluginInput(
  list: Conflist,
  plugin: PluginConf,
  extra: { readonly prevResult?: unknown; readonly capabilityArgs: JsonObject },
): JsonObject {
  const { capabilities, ...own } = plugin;
  const wanted = isObject(capabilities)
    ? Object.keys(capabilities).filter((name) => capabilities[name] === true)
    : [];
  const runtimeConfig = Object.fromEntries(
    wanted
      .filter((name) => extra.capabilityArgs[name] !== undefined)
      .map((name) => [name, extra.capabilityArgs[name]]),
  );
  return {
    ...own,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(extra.prevResult === undefined ? {} : { prevResult: extra.prevResult }),
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
  };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPluginType(value: unknown): value is string {
  return typeof value === "string" && /^[\w.-]{1,64}$/.test(value) && !value.startsWith(".");
}
