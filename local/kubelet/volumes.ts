/**
 * The volumes of a pod on the node: made before its first container, kept fresh (tokens before they expire, ConfigMaps and Secrets
 * once a minute), removed with the pod. Token files belong to the user who reads them when their mode keeps others out.
 */
import { chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Clock } from "#core/base/clock.ts";
import { AmbitError } from "#core/runtime/errors.ts";
import { type VolumeFile, writeVolume } from "./atomic-files.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { fieldValue, type PodFacts } from "./environment.ts";
import type { ProjectedSource, VolumeSpec } from "./pod-types.ts";

export interface VolumeDeps {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  /** Directory of the pod's volumes. */
  readonly directory: string;
  readonly facts: PodFacts;
  /** User of the pod's containers when they agree on one: owns files that others may not read. */
  readonly ownerUid: number | undefined;
}

export interface PodVolumes {
  /** Volume name to path on the node. */
  readonly paths: ReadonlyMap<string, string>;
  /** Writes again what changes with time; returns when to call again (ms). */
  refresh(): Promise<number>;
}

const CONTENT_PERIOD_MS = 60_000;
const TOKEN_RENEWAL_SHARE = 0.8;
const MAX_MODE = 0o777;
export const VOLUME_FAILED = "VOLUME_FAILED";

/** Makes all volumes of the pod. Fails with VOLUME_FAILED and kubelet's words while a ConfigMap or Secret is missing. */
export async function mountVolumes(deps: VolumeDeps): Promise<PodVolumes> {
  const paths = new Map<string, string>();
  const written: VolumeSpec[] = [];
  for (const volume of deps.facts.pod.spec.volumes ?? []) {
    if (volume.hostPath !== undefined) paths.set(volume.name, prepareHostPath(volume.name, volume.hostPath));
    else paths.set(volume.name, join(deps.directory, volume.name));
    if (volume.emptyDir !== undefined) prepareEmptyDir(deps, join(deps.directory, volume.name));
    else if (volume.hostPath === undefined) written.push(volume);
  }
  const refresh = async (): Promise<number> => {
    let nextMs = CONTENT_PERIOD_MS;
    for (const volume of written) {
      const content = await volumeContent(deps, volume);
      writeVolume(join(deps.directory, volume.name), content.files);
      nextMs = Math.min(nextMs, content.validMs);
    }
    return nextMs;
  };
  await refresh();
  return { paths, refresh };
}

interface Content {
  readonly files: readonly VolumeFile[];
  readonly validMs: number;
}

async function volumeContent(deps: VolumeDeps, volume: VolumeSpec): Promise<Content> {
  const known = volume.projected ?? volume.secret ?? volume.configMap ?? volume.downwardAPI;
  if (known === undefined) {
    throw new AmbitError(
      VOLUME_FAILED,
      `volume "${volume.name}" is of a kind that the local cluster does not have (see docs/limits.md)`,
    );
  }
  const sources = volume.projected?.sources ?? [onlySource(volume)];
  const contents: Content[] = [];
  for (const source of sources) contents.push(await sourceContent(deps, source, known.defaultMode ?? 0o644));
  const files = contents.flatMap((content) => content.files);
  return {
    files: files.map(checkPath),
    validMs: Math.min(...contents.map((content) => content.validMs), CONTENT_PERIOD_MS),
  };
}

function onlySource({ configMap, secret, downwardAPI }: VolumeSpec): ProjectedSource {
  if (configMap !== undefined) return { configMap };
  if (secret !== undefined) return { secret: { ...secret, name: secret.secretName ?? "" } };
  return downwardAPI === undefined ? {} : { downwardAPI };
}

async function sourceContent(deps: VolumeDeps, source: ProjectedSource, mode: number): Promise<Content> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (serviceAccountToken !== undefined) return tokenContent(deps, serviceAccountToken, mode);
  if (downwardAPI !== undefined) return downwardContent(deps, downwardAPI.items ?? [], mode);
  if (configMap !== undefined) return keyedContent(deps, { kind: "configmap", ref: configMap, mode });
  if (secret !== undefined) return keyedContent(deps, { kind: "secret", ref: secret, mode });
  return { files: [], validMs: CONTENT_PERIOD_MS };
}

type DownwardItems = NonNullable<NonNullable<ProjectedSource["downwardAPI"]>["items"]>;

function downwardContent(deps: VolumeDeps, items: DownwardItems, mode: number): Content {
  const files = items.map((item) => {
    const field = item.fieldRef?.fieldPath ?? "";
    const value = fieldValue(field, deps.facts);
    if (!value.ok) {
      throw new AmbitError(
        VOLUME_FAILED,
        `downwardAPI item ${item.path}: field "${field}" is not served here`,
      );
    }
    return file(deps, item.path, Buffer.from(value.value), item.mode ?? mode);
  });
  return { files, validMs: CONTENT_PERIOD_MS };
}

interface KeyedSource {
  readonly kind: "configmap" | "secret";
  readonly ref: NonNullable<ProjectedSource["configMap"]>;
  readonly mode: number;
}

async function keyedContent(deps: VolumeDeps, { kind, ref, mode }: KeyedSource): Promise<Content> {
  const { namespace } = deps.facts.pod.metadata;
  const name = ref.name ?? "";
  const data = await (kind === "secret"
    ? deps.access.secret(namespace, name)
    : deps.access.configMap(namespace, name));
  if (data === undefined && ref.optional !== true) {
    throw new AmbitError(
      VOLUME_FAILED,
      `references non-existent ${kind} "${name}" in namespace "${namespace}"`,
    );
  }
  const items = ref.items ?? [...(data?.keys() ?? [])].map((key) => ({ key, path: key, mode }));
  const files = items.flatMap((item) => {
    const value = data?.get(item.key);
    return value === undefined ? [] : [file(deps, item.path, value, item.mode ?? mode)];
  });
  return { files, validMs: CONTENT_PERIOD_MS };
}

async function tokenContent(
  deps: VolumeDeps,
  wanted: { readonly audience?: string; readonly expirationSeconds?: number; readonly path: string },
  mode: number,
): Promise<Content> {
  const bound = await deps.access.token(deps.facts.pod, wanted.audience, wanted.expirationSeconds ?? 3600);
  const lifeMs = bound.expiresAtMs - deps.clock.nowMs();
  return {
    files: [file(deps, wanted.path, Buffer.from(bound.token), mode)],
    validMs: Math.max(1_000, lifeMs * TOKEN_RENEWAL_SHARE),
  };
}

function file(deps: VolumeDeps, path: string, data: Buffer, mode: number): VolumeFile {
  const forOwnerOnly = (mode & 0o044) === 0 && deps.ownerUid !== undefined;
  return {
    path,
    data,
    mode: mode & MAX_MODE,
    ...(forOwnerOnly && deps.ownerUid !== undefined ? { uid: deps.ownerUid } : {}),
  };
}

function checkPath(entry: VolumeFile): VolumeFile {
  const parts = entry.path.split("/");
  const bad = parts.some((part) => part === "" || part === "." || part.startsWith(".."));
  if (bad) throw new AmbitError(VOLUME_FAILED, `"${entry.path}" must be a relative path without ..`);
  return entry;
}

function prepareEmptyDir(deps: VolumeDeps, path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o777 });
  const group = deps.facts.pod.spec.securityContext?.fsGroup;
  chownSync(path, deps.ownerUid ?? 0, group ?? 0);
}

/** The API's `type` says what must exist and what may be made. */
function prepareHostPath(
  name: string,
  { path, type = "" }: { readonly path: string; readonly type?: string },
): string {
  if (path.split("/").includes(".."))
    throw new AmbitError(VOLUME_FAILED, `hostPath of "${name}" must not contain ..`);
  if (existsSync(path)) return path;
  if (type === "DirectoryOrCreate" || type === "") mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate") {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "");
  } else
    throw new AmbitError(VOLUME_FAILED, `hostPath type check failed: ${path} is not a ${type.toLowerCase()}`);
  return path;
}
