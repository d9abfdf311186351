/** Pure. Defaults and checks that pods and pod templates share. */
import type { V1Container, V1PodSpec, V1PodTemplateSpec, V1Probe, V1Volume } from "@kubernetes/client-node";
import { duplicateValue, type FieldProblem, invalidValue, required } from "../../http/status-error.ts";
import { isRecord } from "../../object.ts";

export function defaultPodSpec(spec: V1PodSpec): void {
  spec.restartPolicy ??= "Always";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= "ClusterFirst";
  spec.securityContext ??= {};
  spec.schedulerName ??= "default-scheduler";
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount;
  for (const container of [...list(spec.containers), ...list(spec.initContainers)]) defaultContainer(container, spec.hostNetwork === true);
  for (const volume of list(spec.volumes)) defaultVolume(volume);
}

function list<T>(value: T[] | undefined): T[] {
  return Array.isArray(value) ? value.filter((item) => isRecord(item)) : [];
}

function defaultContainer(container: V1Container, hostNetwork: boolean): void {
  container.terminationMessagePath ??= "/dev/termination-log";
  container.terminationMessagePolicy ??= "File";
  container.resources ??= {};
  const { image } = container;
  if (image !== undefined) container.imagePullPolicy ??= /:[^/]+$/.test(image) && !image.endsWith(":latest") ? "IfNotPresent" : "Always";
  const { limits } = container.resources;
  if (limits !== undefined) container.resources.requests = { ...limits, ...container.resources.requests };
  for (const port of list(container.ports)) {
    port.protocol ??= "TCP";
    if (hostNetwork) port.hostPort ??= port.containerPort;
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) defaultProbe(probe);
  for (const hook of [container.lifecycle?.postStart, container.lifecycle?.preStop]) defaultHttp(hook?.httpGet);
  for (const variable of list(container.env)) {
    if (variable.valueFrom?.fieldRef !== undefined) variable.valueFrom.fieldRef.apiVersion ??= "v1";
  }
}

function defaultProbe(probe: V1Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ??= 1;
  probe.periodSeconds ??= 10;
  probe.successThreshold ??= 1;
  probe.failureThreshold ??= 3;
  defaultHttp(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= "";
}

function defaultHttp(http: { scheme?: string; path?: string } | undefined): void {
  if (http === undefined) return;
  http.scheme ??= "HTTP";
  http.path ??= "/";
}

const FILE_MODE = 0o644;

function defaultVolume(volume: V1Volume): void {
  for (const source of [volume.configMap, volume.secret, volume.projected, volume.downwardAPI]) {
    if (source !== undefined) source.defaultMode ??= FILE_MODE;
  }
  for (const source of list(volume.projected?.sources)) {
    if (source.serviceAccountToken !== undefined) source.serviceAccountToken.expirationSeconds ??= 3600;
  }
  const items = [...list(volume.downwardAPI?.items), ...list(volume.projected?.sources).flatMap((source) => list(source.downwardAPI?.items))];
  for (const item of items) if (item.fieldRef !== undefined) item.fieldRef.apiVersion ??= "v1";
  if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  if (Object.keys(volume).length === 1) volume.emptyDir = {};
}

/** Names are unique and mounts refer to volumes that exist. */
export function podSpecProblems(spec: V1PodSpec, path: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (list(spec.containers).length === 0) problems.push(required(`${path}.containers`));
  const names = new Set<string>();
  const volumes = new Set(list(spec.volumes).map((volume) => volume.name));
  for (const [kind, containers] of [["initContainers", spec.initContainers], ["containers", spec.containers]] as const) {
    list(containers).forEach((container, i) => {
      const at = `${path}.${kind}[${i}]`;
      if (names.has(container.name)) problems.push(duplicateValue(`${at}.name`, container.name));
      names.add(container.name);
      if ((container.image ?? "") === "") problems.push(required(`${at}.image`));
      list(container.volumeMounts).forEach((mount, j) => {
        if (volumes.has(mount.name)) return;
        problems.push({ field: `${at}.volumeMounts[${j}].name`, message: `Not found: ${JSON.stringify(mount.name)}`, reason: "FieldValueNotFound" });
      });
    });
  }
  return problems;
}

/** A workload whose selector does not select its own template would create pods for ever. */
export function selectorProblems(selector: { matchLabels?: Record<string, string> } | undefined, template: V1PodTemplateSpec | undefined): FieldProblem[] {
  if (selector === undefined) return [required("spec.selector")];
  if (template === undefined) return [required("spec.template")];
  const labels = template.metadata?.labels ?? {};
  const wanted = Object.entries(selector.matchLabels ?? {});
  if (wanted.every(([key, value]) => labels[key] === value)) return [];
  return [invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")];
}
