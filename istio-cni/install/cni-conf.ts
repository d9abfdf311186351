/** Pure. Edits of a CNI network configuration: our plugin is appended to the node's chain, or taken out of it again. */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import { PLUGIN_TYPE } from "../plugin/protocol.ts";

export interface ConfFile {
  readonly name: string;
  readonly text: string;
}

export interface PluginSettings {
  readonly agentSocket: string;
}

type Json = Record<string, unknown>;

/** The file that a container runtime would use: the first by name with a known extension and a readable content. */
export function chooseConfFile(files: readonly ConfFile[]): ConfFile | undefined {
  return files
    .filter((file) => /\.conf(?:list)?$/.test(file.name) && !file.name.startsWith("."))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .find((file) => readChain(file).ok);
}

/**
 * The file with our entry as the last of the chain; the same file when it is there already and equal.
 * A single-plugin `.conf` becomes a `.conflist` of that plugin and ours.
 */
export function insertPlugin(file: ConfFile, settings: PluginSettings): Parsed<ConfFile> {
  const chain = readChain(file);
  if (!chain.ok) return chain;
  const { top, plugins } = chain.value;
  const entry = { type: PLUGIN_TYPE, agentSocket: settings.agentSocket };
  if (JSON.stringify(plugins.at(-1)) === JSON.stringify(entry) && plugins.filter(isOurs).length === 1)
    return parsed(file);
  const next = { ...top, plugins: [...plugins.filter((plugin) => !isOurs(plugin)), entry] };
  return parsed({ name: file.name.replace(/\.conf$/, ".conflist"), text: render(next) });
}

/** The file without our entry; the same file when it has none. */
export function removePlugin(file: ConfFile): Parsed<ConfFile> {
  const chain = readChain(file);
  if (!chain.ok) return chain;
  const { top, plugins } = chain.value;
  if (!plugins.some(isOurs)) return parsed(file);
  return parsed({
    name: file.name,
    text: render({ ...top, plugins: plugins.filter((plugin) => !isOurs(plugin)) }),
  });
}

export function hasPlugin(file: ConfFile): boolean {
  const chain = readChain(file);
  return chain.ok && chain.value.plugins.some(isOurs);
}

interface Chain {
  readonly top: Json;
  readonly plugins: readonly Json[];
}

function readChain(file: ConfFile): Parsed<Chain> {
  const value = parseJson(file.text);
  if (!isObject(value)) return problem(file.name, "is not a JSON object");
  if (file.name.endsWith(".conflist")) {
    const plugins = value["plugins"];
    if (!Array.isArray(plugins) || plugins.length === 0 || !plugins.every(isObject)) {
      return problem(`${file.name}: plugins`, "must be a list of at least one plugin");
    }
    return parsed({ top: value, plugins });
  }
  if (typeof value["type"] !== "string") return problem(`${file.name}: type`, "must name a plugin");
  const { cniVersion = "0.3.1", name = "k8s-pod-network", ...plugin } = value;
  return parsed({ top: { cniVersion, name }, plugins: [plugin] });
}

function isOurs(plugin: Json): boolean {
  return plugin["type"] === PLUGIN_TYPE;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function render(value: Json): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
