/**
 * Pure. A container's environment: image, cluster, `envFrom`, `env` with the downward API, and $(NAME) references
 * (kubelet's rules: references see what was defined before; $$ is a dollar sign; unknown references stay as they are).
 */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import type { ContainerSpec, EnvVar, PodObject } from "./pod-types.ts";
import { parseQuantity } from "./resources.ts";
import { type LinkedService, serviceLinks } from "./service-links.ts";

const API_SERVICE: LinkedService = {
  name: "kubernetes",
  clusterIp: "10.96.0.1",
  ports: [{ name: "https", port: 443 }],
};

/** What is known about the pod when a container starts. */
export interface PodFacts {
  readonly pod: PodObject;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly podIps: readonly string[];
}

/** Contents of ConfigMaps and Secrets that the container names, fetched before: `configMap/<name>` or `secret/<name>`. */
export type EnvSources = ReadonlyMap<string, ReadonlyMap<string, Buffer>>;

export interface EnvironmentInput {
  readonly container: ContainerSpec;
  readonly facts: PodFacts;
  readonly sources: EnvSources;
  /** Of the pod's namespace; none if it does not want them. */
  readonly services: readonly LinkedService[];
  readonly image: { readonly env: Readonly<Record<string, string>> };
}

export function containerEnvironment(input: EnvironmentInput): Parsed<Record<string, string>> {
  const { container, facts, sources, image } = input;
  const env: Record<string, string> = {
    ...image.env,
    HOSTNAME: hostnameOf(facts.pod),
    ...serviceLinks([API_SERVICE, ...input.services]),
  };
  for (const source of container.envFrom ?? []) {
    const values = wholeSource(source, sources);
    if (!values.ok) return values;
    Object.assign(env, values.value);
  }
  for (const variable of container.env ?? []) {
    const value = valueOf(variable, input, env);
    if (!value.ok) return value;
    if (value.value !== undefined) env[variable.name] = value.value;
  }
  return parsed(env);
}

type EnvFrom = NonNullable<ContainerSpec["envFrom"]>[number];

function wholeSource(
  { prefix = "", configMapRef, secretRef }: EnvFrom,
  sources: EnvSources,
): Parsed<Record<string, string>> {
  const ref = configMapRef ?? secretRef;
  const key = `${configMapRef === undefined ? "secret" : "configMap"}/${ref?.name ?? ""}`;
  const data = sources.get(key);
  if (data === undefined && ref?.optional !== true) return problem("envFrom", `${key} not found`);
  return parsed(
    Object.fromEntries([...(data ?? [])].map(([name, value]) => [prefix + name, value.toString("utf8")])),
  );
}

export function hostnameOf(pod: PodObject): string {
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}

function valueOf(
  variable: EnvVar,
  input: EnvironmentInput,
  env: Readonly<Record<string, string>>,
): Parsed<string | undefined> {
  const from = variable.valueFrom;
  if (from === undefined) return parsed(expandReferences(variable.value ?? "", env));
  if (from.fieldRef !== undefined) return fieldValue(from.fieldRef.fieldPath, input.facts);
  if (from.resourceFieldRef !== undefined) {
    return parsed(resourceValue(from.resourceFieldRef, input.container, input.facts.pod));
  }
  return keyValue(variable, input.sources);
}

function keyValue({ name, valueFrom }: EnvVar, sources: EnvSources): Parsed<string | undefined> {
  const ref = valueFrom?.configMapKeyRef ?? valueFrom?.secretKeyRef;
  if (ref === undefined) return problem(name, "has no source that is known here");
  const key = `${valueFrom?.configMapKeyRef === undefined ? "secret" : "configMap"}/${ref.name ?? ""}`;
  const value = sources.get(key)?.get(ref.key);
  if (value === undefined && ref.optional !== true)
    return problem(name, `couldn't find key ${ref.key} in ${key}`);
  return parsed(value?.toString("utf8"));
}

/** `$(NAME)` in commands, arguments and values. */
export function expandReferences(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$|\(([^()$]*)\))/g, (whole, token: string, name: string | undefined) => {
    if (token === "$") return "$";
    const value = name === undefined || !Object.hasOwn(env, name) ? undefined : env[name];
    return value ?? whole;
  });
}

/** Fields of the downward API, for variables and volumes. */
export function fieldValue(path: string, facts: PodFacts): Parsed<string> {
  const { metadata, spec } = facts.pod;
  const plain: Readonly<Record<string, string>> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "metadata.labels": mapText(metadata.labels),
    "metadata.annotations": mapText(metadata.annotations),
    "spec.nodeName": facts.nodeName,
    "spec.serviceAccountName": spec.serviceAccountName ?? "default",
    "status.hostIP": facts.nodeIp,
    "status.podIP": facts.podIps[0] ?? "",
    "status.podIPs": facts.podIps.join(","),
    "status.hostIPs": facts.nodeIp,
  };
  const value = Object.hasOwn(plain, path) ? plain[path] : undefined;
  if (value !== undefined) return parsed(value);
  const member = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (member?.[2] === undefined) return problem(path, "is not a field of the downward API");
  return parsed((member[1] === "labels" ? metadata.labels : metadata.annotations)?.[member[2]] ?? "");
}

function mapText(map: Readonly<Record<string, string>> = {}): string {
  return Object.keys(map)
    .toSorted()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join("\n");
}

function resourceValue(
  ref: { readonly containerName?: string; readonly resource: string; readonly divisor?: string },
  container: ContainerSpec,
  pod: PodObject,
): string {
  const owner = pod.spec.containers.find((c) => c.name === ref.containerName) ?? container;
  const [kind, name] = ref.resource.split(".") as [string, string?];
  const text = (kind === "limits" ? owner.resources?.limits : owner.resources?.requests)?.[name ?? ""];
  const value = parseQuantity(text ?? "0");
  const divisor = parseQuantity(ref.divisor === undefined || ref.divisor === "0" ? "1" : ref.divisor);
  return String(Math.ceil((value.ok ? value.value : 0) / (divisor.ok ? divisor.value : 1)));
}
