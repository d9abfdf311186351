/** What the verbs need: the server's parts, and the circumstances of one request. */
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { AccountTokens } from "../auth/account-tokens.ts";
import type { Rbac } from "../auth/rbac.ts";
import type { UserInfo } from "../auth/user.ts";
import type { ApiObject, JsonMap } from "../object.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import type { Resource } from "../registry/resource.ts";
import type { StrategyContext } from "../registry/strategy.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { PageSnapshots } from "../store/page-snapshots.ts";

export type Operation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

export interface AdmissionRequest {
  readonly operation: Operation;
  readonly target: Target;
  /** Absent for DELETE; the options of a CONNECT. */
  readonly object: ApiObject | undefined;
  readonly old: ApiObject | undefined;
  readonly context: RequestContext;
}

/** Both throw a StatusError to refuse. */
export interface Admission {
  /** The object, possibly changed; a copy when it is. */
  mutate(request: AdmissionRequest): ApiObject | undefined;
  validate(request: AdmissionRequest): Promise<void>;
}

export interface RestDeps {
  readonly store: ObjectStore;
  readonly registry: ResourceRegistry;
  readonly pages: PageSnapshots;
  readonly admission: Admission;
  readonly tokens: AccountTokens;
  readonly rbac: Rbac;
  readonly strategy: StrategyContext;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RequestContext {
  readonly user: UserInfo;
  /** Field manager; from the user agent unless given. */
  readonly manager: string;
  readonly managerGiven: boolean;
  readonly dryRun: boolean;
  readonly fieldValidation: "Strict" | "Warn" | "Ignore";
  /** Server-side apply: take fields that others own. */
  readonly force: boolean;
  /** Create, update, patch or delete options as webhooks see them. */
  readonly options: JsonMap;
  warn(text: string): void;
}

/** What a request is about. `name` is empty for lists and creates, `namespace` for cluster-wide kinds. */
export interface Target {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** Deleted as one of many, whose names the request does not say: admission sees none. */
  readonly isOneOfMany?: boolean;
}

/** The circumstances of a write by one of the server's own controllers. */
export function internalContext(
  controller: string,
  warn: (text: string) => void = () => undefined,
): RequestContext {
  return {
    user: {
      username: `system:serviceaccount:kube-system:${controller}`,
      groups: [
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
        "system:authenticated",
        "system:masters",
      ],
    },
    manager: "kube-controller-manager",
    managerGiven: true,
    dryRun: false,
    fieldValidation: "Ignore",
    force: true,
    options: {},
    warn,
  };
}
