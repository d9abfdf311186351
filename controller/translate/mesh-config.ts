/** Pure. ConfigMap `istio`, key `mesh` (YAML of Istio's MeshConfig), to what the controller uses of it. */
import { parse } from "yaml";
import { jsonList, jsonObject, jsonText } from "#core/k8s/json-read.ts";
import type { ConfigMapObject } from "#core/k8s/object-types.ts";
import type { PathNormalization } from "#core/model/waypoint-config.ts";
import type { Translated, TranslationProblem } from "./problem.ts";

export interface MeshConfig {
  readonly trustDomain: string;
  /** Believed from peers, never issued. */
  readonly trustDomainAliases: readonly string[];
  /** Where mesh-wide policies live. */
  readonly rootNamespace: string;
  readonly clusterId: string;
  readonly network: string;
  /** `cluster.local` of service host names. */
  readonly dnsDomain: string;
  /** Whether policies marked `istio.io/dry-run` are sent. */
  readonly dryRunPolicies: boolean;
  /** What waypoints make of paths before anything reads them. */
  readonly pathNormalization: PathNormalization;
}

/** Fields of Istio's MeshConfig that Ambit reads. */
const READ_FIELDS: ReadonlySet<string> = new Set([
  "trustDomain",
  "trustDomainAliases",
  "rootNamespace",
  "pathNormalization",
]);
/** Istio's names. */
const NORMALIZATIONS: ReadonlyMap<string, PathNormalization> = new Map([
  ["NONE", "none"],
  ["DEFAULT", "base"],
  ["BASE", "base"],
  ["MERGE_SLASHES", "merge-slashes"],
  ["DECODE_AND_MERGE_SLASHES", "decode-and-merge-slashes"],
]);
const DOMAIN = /^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$/;

/** `defaults` holds where the ConfigMap is absent, silent or wrong. */
export function translateMeshConfig(
  configMap: ConfigMapObject | undefined,
  defaults: MeshConfig,
): Translated<MeshConfig> {
  if (configMap === undefined) return { output: defaults, problems: [] };
  const problems: TranslationProblem[] = [];
  const { namespace, name, generation } = configMap.metadata;
  const report = (path: string, reason: TranslationProblem["reason"], message: string): void => {
    problems.push({ kind: "ConfigMap", namespace, name, generation, path, reason, message });
  };
  const mesh = readYaml(configMap.data["mesh"] ?? "");
  if (mesh === undefined) {
    report("data.mesh", "Invalid", "is not a YAML mapping, so defaults are used");
    return { output: defaults, problems };
  }
  for (const field of Object.keys(mesh)) {
    if (!READ_FIELDS.has(field)) report(`data.mesh.${field}`, "UnsupportedValue", "has no effect in Ambit");
  }
  const text = (field: "trustDomain" | "rootNamespace"): string => {
    const value = jsonText(mesh[field]);
    if (mesh[field] === undefined) return defaults[field];
    if (DOMAIN.test(value)) return value;
    report(`data.mesh.${field}`, "Invalid", `is not a name; ${defaults[field]} is used`);
    return defaults[field];
  };
  const aliases = readAliases(mesh["trustDomainAliases"], (path, message) =>
    report(path, "Invalid", message),
  );
  const normalization = readNormalization(mesh["pathNormalization"], (path, message) =>
    report(path, "Invalid", message),
  );
  return {
    output: {
      ...defaults,
      trustDomain: text("trustDomain"),
      rootNamespace: text("rootNamespace"),
      trustDomainAliases: aliases,
      pathNormalization: normalization ?? defaults.pathNormalization,
    },
    problems,
  };
}

/** An alias that is no name is believed from nobody, and said. */
function readAliases(raw: unknown, invalid: (path: string, message: string) => void): readonly string[] {
  const path = "data.mesh.trustDomainAliases";
  if (raw !== undefined && !Array.isArray(raw)) invalid(path, "is not a list; no alias is believed");
  const aliases = jsonList(raw).map(jsonText);
  for (const [i, alias] of aliases.entries()) {
    if (!DOMAIN.test(alias)) invalid(`${path}[${i}]`, "is not a name; it is not believed");
  }
  return aliases.filter((alias) => DOMAIN.test(alias)).toSorted();
}

/** Undefined when nothing is said, or nothing that is known. */
function readNormalization(
  raw: unknown,
  invalid: (path: string, message: string) => void,
): PathNormalization | undefined {
  if (raw === undefined) return undefined;
  const path = "data.mesh.pathNormalization";
  const { normalization, ...rest } = jsonObject(raw);
  for (const field of Object.keys(rest)) invalid(`${path}.${field}`, "is not known and has no effect");
  const option = NORMALIZATIONS.get(jsonText(normalization));
  if (option === undefined)
    invalid(
      `${path}.normalization`,
      `is none of ${[...NORMALIZATIONS.keys()].join(", ")}; the default is used`,
    );
  return option;
}

function readYaml(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.trim() === "") return {};
  try {
    const value: unknown = parse(text, { maxAliasCount: 10 });
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? jsonObject(value)
      : undefined;
  } catch {
    return undefined;
  }
}
