/** Pure. Defaults and checks that pods and pod templates share. */
import type {
  V1Container,
  V1PodSpec,
  V1PodTemplateSpec,
  V1Probe,
  V1ResourceRequirements,
  V1Volume,
} from "@kubernetes/client-node";
import {
  duplicateValue,
  type FieldProblem,
  forbiddenField,
  invalidValue,
  required,
} from "../../http/status-error.ts";
import { isRecord } from "../../object.ts";
import { fillIn } from "../fill-in.ts";

export function defaultPodSpec(spec: V1PodSpec): void {
  fillIn(spec, {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    securityContext: {},
    schedulerName: "default-scheduler",
  });
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount;
  for (const container of [...list(spec.containers), ...list(spec.initContainers)]) {
    defaultContainer(container, spec.hostNetwork === true);
  }
  for (const volume of list(spec.volumes)) defaultVolume(volume);
}

function list<T>(value: T[] | undefined): T[] {
  return Array.isArray(value) ? value.filter((item) => isRecord(item)) : [];
}

function defaultContainer(container: V1Container, hostNetwork: boolean): void {
  const { image = "" } = container;
  fillIn(container, {
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    resources: {},
    ...(image === "" ? {} : { imagePullPolicy: pullPolicy(image) }),
  });
  requestLimits(container.resources);
  for (const port of list(container.ports)) {
    fillIn(port, { protocol: "TCP", ...(hostNetwork ? { hostPort: port.containerPort } : {}) });
  }
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    defaultProbe(probe);
  }
  const { postStart, preStop } = container.lifecycle ?? {};
  for (const hook of [postStart, preStop]) fillIn(hook?.httpGet, HTTP);
  for (const variable of list(container.env)) fillIn(variable.valueFrom?.fieldRef, { apiVersion: "v1" });
}

function pullPolicy(image: string): string {
  return /:[^/]+$/.test(image) && !image.endsWith(":latest") ? "IfNotPresent" : "Always";
}

/** What is limited but not requested counts as requested. */
function requestLimits(resources: V1ResourceRequirements | undefined): void {
  if (resources?.limits !== undefined) resources.requests = { ...resources.limits, ...resources.requests };
}

const HTTP = { scheme: "HTTP", path: "/" };

function defaultProbe(probe: V1Probe | undefined): void {
  fillIn(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  fillIn(probe?.httpGet, HTTP);
  fillIn(probe?.grpc, { service: "" });
}

const FILE_MODE = 0o644;

function defaultVolume(volume: V1Volume): void {
  const { configMap, secret, projected, downwardAPI } = volume;
  for (const source of [configMap, secret, projected, downwardAPI])
    fillIn(source, { defaultMode: FILE_MODE });
  const sources = list(projected?.sources);
  for (const source of sources) fillIn(source.serviceAccountToken, { expirationSeconds: 3600 });
  const items = [
    ...list(downwardAPI?.items),
    ...sources.flatMap((source) => list(source.downwardAPI?.items)),
  ];
  for (const item of items) fillIn(item.fieldRef, { apiVersion: "v1" });
  fillIn(volume.hostPath, { type: "" });
  if (Object.keys(volume).length === 1) volume.emptyDir = {};
}

const ESCALATION = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
const PROPAGATION = "Bidirectional mount propagation is available only to privileged containers";

/** Names are unique and mounts refer to volumes that exist. */
export function podSpecProblems(spec: V1PodSpec, path: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (list(spec.containers).length === 0) problems.push(required(`${path}.containers`));
  const names = new Set<string>();
  const volumes = new Set(list(spec.volumes).map((volume) => volume.name));
  for (const [kind, containers] of [
    ["initContainers", spec.initContainers],
    ["containers", spec.containers],
  ] as const) {
    list(containers).forEach((container, i) => {
      const at = `${path}.${kind}[${i}]`;
      if (names.has(container.name)) problems.push(duplicateValue(`${at}.name`, container.name));
      names.add(container.name);
      if ((container.image ?? "") === "") problems.push(required(`${at}.image`));
      const { privileged, allowPrivilegeEscalation } = container.securityContext ?? {};
      if (privileged === true && allowPrivilegeEscalation === false)
        problems.push(invalidValue(`${at}.securityContext`, container.securityContext, ESCALATION));
      list(container.volumeMounts).forEach((mount, j) => {
        if (mount.mountPropagation === "Bidirectional" && container.securityContext?.privileged !== true)
          problems.push(forbiddenField(`${at}.volumeMounts.mountPropagation`, PROPAGATION));
        if (volumes.has(mount.name)) return;
        problems.push({
          field: `${at}.volumeMounts[${j}].name`,
          message: `Not found: ${JSON.stringify(mount.name)}`,
          reason: "FieldValueNotFound",
        });
      });
    });
  }
  return problems;
}

/** A workload whose selector does not select its own template would create pods for ever. */
export function selectorProblems(
  selector: { matchLabels?: Record<string, string> } | undefined,
  template: V1PodTemplateSpec | undefined,
): FieldProblem[] {
  if (selector === undefined) return [required("spec.selector")];
  if (template === undefined) return [required("spec.template")];
  const labels = template.metadata?.labels ?? {};
  const wanted = Object.entries(selector.matchLabels ?? {});
  if (wanted.every(([key, value]) => labels[key] === value)) return [];
  return [
    invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"),
  ];
}
