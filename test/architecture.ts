/** Pure. Who may import whom, as data, and the check of one import. */

export interface ImportEdge {
  /** Path of the importing file from the project's root. */
  readonly from: string;
  /** The import's target: a path from the root, `node:x`, or a package name. */
  readonly to: string;
  /** `import type`: gone before the program runs. */
  readonly typeOnly?: boolean;
}

/** Layers of core from the bottom up: a folder may import itself and those before it. */
export const CORE_LAYERS: readonly string[] = [
  "base",
  "net",
  "model",
  "http",
  "runtime",
  "linux",
  "authz",
  "wire",
  "identity",
  "xds",
  "state",
  "handle",
  "http1",
  "http2",
  "hbone",
  "k8s",
];

const ROOMS_OVER_CORE = ["ztunnel", "waypoint", "istio-cni", "controller"];
const COMPOSITION_ROOTS = ["cli", "local", "e2e", "bench", "test", "tools"];
const TEST_SUPPORT = "core/testing/";

/** Folders and files that decide without touching the world. */
const PURE: readonly RegExp[] = [
  /^core\/(?:base|model|authz|http)\//,
  /^core\/net\//,
  /^core\/state\/(?:choose-endpoint|resolve-gateway|config-dump|dump-certificates)\.ts$/,
  /^controller\/translate\//,
  /^(?:ztunnel|waypoint)\/.*-route\.ts$/,
  /^istio-cni\/.*-plan\.ts$/,
  /^core\/k8s\/(?:object-types|json-read)\.ts$/,
  /^core\/http2\/(?:hpack\/.*|settings|flood-limits|header-rules|error-codes)\.ts$/,
  /^core\/hbone\/(?:connect-request|baggage|trace-context)\.ts$/,
];
/** Node modules that compute and do no I/O. */
const PURE_NODE = new Set(["node:net", "node:crypto", "node:perf_hooks", "node:timers"]);

/** Why this import is forbidden, or undefined when it is fine. */
export function violation(edge: ImportEdge): string | undefined {
  if (isTest(edge.from)) return undefined;
  return roomViolation(edge) ?? pluginViolation(edge) ?? purityViolation(edge) ?? koffiViolation(edge);
}

export function isTest(file: string): boolean {
  return /\.test\.ts$|\/testdata\/|\/test\/|\/conformance/.test(file) || file.startsWith(TEST_SUPPORT);
}

function roomViolation({ from, to }: ImportEdge): string | undefined {
  const fromRoom = room(from);
  const toRoom = room(to);
  if (!isInternal(to) || COMPOSITION_ROOTS.includes(fromRoom)) return undefined;
  if (to.startsWith(TEST_SUPPORT)) return "test support is for tests";
  if (COMPOSITION_ROOTS.includes(toRoom)) return `nothing imports ${toRoom}/`;
  if (fromRoom === "core") return toRoom === "core" ? layerViolation(from, to) : "core imports no component";
  if (!ROOMS_OVER_CORE.includes(fromRoom) || toRoom === fromRoom) return undefined;
  if (toRoom !== "core") return `${fromRoom}/ imports only core/`;
  if (fromRoom === "controller" && /^core\/(?:linux|hbone)\//.test(to))
    return "the controller needs no kernel and no tunnel";
  return undefined;
}

function layerViolation(from: string, to: string): string | undefined {
  const fromLayer = CORE_LAYERS.indexOf(from.split("/")[1] ?? "");
  const toLayer = CORE_LAYERS.indexOf(to.split("/")[1] ?? "");
  if (fromLayer < 0 || toLayer < 0) return "a folder of core must be in the list of layers";
  return toLayer <= fromLayer
    ? undefined
    : `core/${CORE_LAYERS[toLayer]} lies above core/${CORE_LAYERS[fromLayer]}`;
}

function pluginViolation({ from, to }: ImportEdge): string | undefined {
  if (!from.startsWith("istio-cni/plugin/")) return undefined;
  return to.startsWith("node:") || to.startsWith("istio-cni/plugin/")
    ? undefined
    : "the plugin uses Node alone";
}

function purityViolation({ from, to, typeOnly }: ImportEdge): string | undefined {
  if (typeOnly === true || !PURE.some((pattern) => pattern.test(from))) return undefined;
  if (to.startsWith("node:")) return PURE_NODE.has(to) ? undefined : "a pure file does no I/O";
  if (PURE.some((pattern) => pattern.test(to))) return undefined;
  return /^core\/(?:runtime|linux|handle|hbone|http2|xds|k8s)\//.test(to)
    ? "a pure file does no I/O"
    : undefined;
}

function koffiViolation({ from, to }: ImportEdge): string | undefined {
  return to === "koffi" && !from.startsWith("core/linux/")
    ? "foreign functions are called in core/linux alone"
    : undefined;
}

function isInternal(target: string): boolean {
  return target.endsWith(".ts");
}

function room(path: string): string {
  return path.split("/")[0] ?? "";
}
