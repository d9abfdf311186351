/** Pure. Quantities, quality-of-service classes and the limits that become cgroup files. */
import { type Parsed, parsed, problem } from "#core/base/parse-result.ts";
import type { ContainerSpec, PodSpec } from "./pod-types.ts";

const SUFFIX: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Kubernetes' resource.Quantity as a number of its base unit (bytes, cores). */
export function parseQuantity(text: string): Parsed<number> {
  const match = /^(\d{1,18}(?:\.\d{1,9})?)([numkMGTP]|[KMGTP]i)?$/.exec(text);
  const factor = SUFFIX[match?.[2] ?? ""];
  if (match?.[1] === undefined || factor === undefined)
    return problem("", `"${text.slice(0, 40)}" is not a quantity`);
  return parsed(Number(match[1]) * factor);
}

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

export function qosClass(spec: PodSpec): QosClass {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const limitsOf = (c: ContainerSpec): readonly (string | undefined)[] => [
    c.resources?.limits?.["cpu"],
    c.resources?.limits?.["memory"],
  ];
  const requestsOf = (c: ContainerSpec): readonly (string | undefined)[] => [
    c.resources?.requests?.["cpu"],
    c.resources?.requests?.["memory"],
  ];
  const anything = containers.some((c) =>
    [...limitsOf(c), ...requestsOf(c)].some((value) => value !== undefined),
  );
  if (!anything) return "BestEffort";
  const guaranteed = containers.every((c) =>
    limitsOf(c).every((limit, i) => limit !== undefined && (requestsOf(c)[i] ?? limit) === limit),
  );
  return guaranteed ? "Guaranteed" : "Burstable";
}

/** The pod's group below the node's top, as kubelet's cgroupfs driver names it. */
export function podCgroup(spec: PodSpec, uid: string): string {
  const byClass = {
    Guaranteed: "kubepods",
    Burstable: "kubepods/burstable",
    BestEffort: "kubepods/besteffort",
  };
  return `${byClass[qosClass(spec)]}/pod${uid}`;
}

export interface CgroupLimits {
  readonly memoryBytes?: number;
  readonly cpuCores?: number;
}

/** Limits that cannot be read are left out (the API validated them). */
export function limitsOf(container: ContainerSpec): CgroupLimits {
  const read = (name: string): number | undefined => {
    const value = parseQuantity(container.resources?.limits?.[name] ?? "");
    return value.ok ? value.value : undefined;
  };
  const memoryBytes = read("memory");
  const cpuCores = read("cpu");
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpuCores === undefined ? {} : { cpuCores }),
  };
}
