/**
 * Pure. One reason for which a namespace's automatic waypoint judges some of its pods, and how far that has got
 * (docs/adr/0016). Kept on the Gateway, so that every replica derives the same from it.
 */
import type { PolicyKey } from "#core/model/ids.ts";

type Labels = Readonly<Record<string, string>>;

/** Of the Gateway's own namespace. */
export type BindingScope =
  /** Pods with all these labels; none means every pod. */
  | { readonly kind: "workloads"; readonly labels: Labels }
  /** These services, and the pods that they select. */
  | { readonly kind: "services"; readonly names: readonly string[] };

export const STAGES = [
  "starting",
  "exempting",
  "binding",
  "draining",
  "denying",
  "enforced",
  "releasing",
  "lifting",
  "unbinding",
  "resting",
] as const;
export type Stage = (typeof STAGES)[number];

/** What somebody's policy asks for. */
export interface WantedBinding {
  readonly policy: PolicyKey;
  /** The field of the policy that makes a waypoint necessary. */
  readonly field: string;
  readonly scope: BindingScope;
  /** The policy decides nothing (a dry run, AUDIT): requests pass the waypoint, which notes them, and nobody is refused for not passing it. */
  readonly observes?: boolean;
  /** Callers are held until the waypoint judges them, not let through. Never together with `observes`. */
  readonly immediately?: boolean;
}

export interface Binding extends Omit<WantedBinding, "observes" | "immediately"> {
  readonly stage: Stage;
  /** When the stage began. */
  readonly sinceMs: number;
}

/** What is pushed in a stage, beside the waypoint's own configuration, which is there in every one of them. */
export interface StagePushes {
  /** Destinations: DENY rules spare the waypoint, ALLOW sets let it in. */
  readonly exempts: boolean;
  /** Sources: the waypoint is named on services and workloads. */
  readonly binds: boolean;
  /** Destinations: nobody but the waypoint, on every port that is not declared TCP. */
  readonly denies: boolean;
  /** Destinations: the L4 form of the policy behind it. */
  readonly hasL4Form: boolean;
}

const PUSHES: Readonly<Record<Stage, StagePushes>> = {
  starting: { exempts: false, binds: false, denies: false, hasL4Form: false },
  exempting: { exempts: true, binds: false, denies: false, hasL4Form: false },
  binding: { exempts: true, binds: true, denies: false, hasL4Form: false },
  draining: { exempts: true, binds: true, denies: false, hasL4Form: false },
  denying: { exempts: true, binds: true, denies: true, hasL4Form: true },
  enforced: { exempts: true, binds: true, denies: true, hasL4Form: true },
  releasing: { exempts: true, binds: true, denies: true, hasL4Form: false },
  lifting: { exempts: true, binds: true, denies: false, hasL4Form: false },
  unbinding: { exempts: true, binds: false, denies: false, hasL4Form: false },
  resting: { exempts: true, binds: false, denies: false, hasL4Form: false },
};

export function pushesOf(stage: Stage): StagePushes {
  return PUSHES[stage];
}

/** Bindings with the same key are the same wish: a policy whose selector changes makes another, and leaves the old one when that is enforced. */
export function bindingKey({ policy, scope }: Pick<WantedBinding, "policy" | "scope">): string {
  return `${policy} ${scopeKey(scope)}`;
}

export function scopeKey(scope: BindingScope): string {
  return scope.kind === "services"
    ? `services ${scope.names.toSorted().join(",")}`
    : `workloads ${Object.entries(scope.labels)
        .map((pair) => pair.map(escaped).join("="))
        .toSorted()
        .join(",")}`;
}

/** So that no two scopes have one key, whatever a selector says. */
function escaped(text: string): string {
  return text.replaceAll(/[%,=]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
}
