/** Deployments, ReplicaSets, DaemonSets: defaults, selector checks, immutable selectors. */
import type { V1DaemonSet, V1Deployment, V1ReplicaSet } from "@kubernetes/client-node";
import { type FieldProblem, invalidValue, required } from "../../http/status-error.ts";
import { type ApiObject, deepEqual, dig } from "../../object.ts";
import type { Strategy } from "../strategy.ts";
import { defaultPodSpec, podSpecProblems, selectorProblems } from "./pod-template.ts";

function defaultTemplate(
  template: V1Deployment["spec"] extends infer S
    ? S extends { template: infer T }
      ? T | undefined
      : never
    : never,
): void {
  if (template?.spec !== undefined) defaultPodSpec(template.spec);
}

const emptyStatus = (object: ApiObject): void => {
  object.status = {};
};

function validate(object: ApiObject, old: ApiObject | undefined): FieldProblem[] {
  const { spec } = object as unknown as V1Deployment;
  if (spec === undefined) return [required("spec")];
  const problems = selectorProblems(spec.selector, spec.template);
  if (spec.template?.spec !== undefined)
    problems.push(...podSpecProblems(spec.template.spec, "spec.template.spec"));
  if (old !== undefined && !deepEqual(dig(old.spec, "selector"), spec.selector)) {
    problems.push(invalidValue("spec.selector", spec.selector, "field is immutable"));
  }
  if ((spec.replicas ?? 0) < 0)
    problems.push(invalidValue("spec.replicas", spec.replicas, "must be greater than or equal to 0"));
  return problems;
}

export const deploymentStrategy: Strategy = {
  defaults: (object) => {
    const { spec } = object as unknown as V1Deployment;
    if (spec === undefined) return;
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    spec.strategy ??= {};
    spec.strategy.type ??= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
      spec.strategy.rollingUpdate.maxSurge ??= "25%";
    }
    defaultTemplate(spec.template);
  },
  onCreate: emptyStatus,
  validate,
};

export const replicaSetStrategy: Strategy = {
  defaults: (object) => {
    const { spec } = object as unknown as V1ReplicaSet;
    if (spec === undefined) return;
    spec.replicas ??= 1;
    defaultTemplate(spec.template);
  },
  onCreate: (object) => {
    object.status = { replicas: 0 };
  },
  validate,
};

export const daemonSetStrategy: Strategy = {
  defaults: (object) => {
    const { spec } = object as unknown as V1DaemonSet;
    if (spec === undefined) return;
    spec.revisionHistoryLimit ??= 10;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ??= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    defaultTemplate(spec.template);
  },
  onCreate: (object) => {
    object.status = {
      currentNumberScheduled: 0,
      numberMisscheduled: 0,
      desiredNumberScheduled: 0,
      numberReady: 0,
    };
  },
  validate,
};
