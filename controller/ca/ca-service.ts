/**
 * One request for a certificate, from bytes to answer: size, caller, identity, CSR, one audit line. The caller learns
 * a code and an opaque text; why is in the log alone.
 */
import { status } from "@grpc/grpc-js";
import type { Clock } from "#core/base/clock.ts";
import type { Logger } from "#core/runtime/log.ts";
import { decodeCertificateRequest, encodeCertificateResponse } from "#core/wire/ca-codec.ts";
import type { Authentication, Authenticator, Caller, Credentials } from "./caller-identity.ts";
import type { CaMaterial } from "./ca-material.ts";
import type { EarlyRequests } from "./early-requests.ts";
import type { WaypointPods } from "../waypoints/gateway/waypoint-pods.ts";
import { issueCertificate, type IssuePolicy } from "./issue.ts";
import {
  checkIdentity,
  type IdentityVerdict,
  type NodeCheckFacts,
  type NodeCheckPolicy,
} from "./node-check.ts";

export interface CaServiceDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly material: () => CaMaterial | undefined;
  readonly nodeCheck: () => NodeCheckPolicy;
  readonly facts: NodeCheckFacts;
  readonly waypoints: WaypointPods;
  readonly early: EarlyRequests;
  readonly issue: IssuePolicy;
  readonly clock: Clock;
  readonly log: Logger;
  /** `issued` or the code of a refusal. */
  readonly count: (outcome: string) => void;
}

export type CaAnswer =
  | { readonly kind: "issued"; readonly response: Uint8Array }
  | { readonly kind: "refused"; readonly code: number; readonly message: string };

const REFUSAL_CODES: Readonly<Record<Extract<Authentication, { kind: "refused" }>["code"], number>> = {
  unauthenticated: status.UNAUTHENTICATED,
  unavailable: status.UNAVAILABLE,
  "too-many": status.RESOURCE_EXHAUSTED,
};

export class CaService {
  readonly #deps: CaServiceDeps;

  constructor(deps: CaServiceDeps) {
    this.#deps = deps;
  }

  async createCertificate(bytes: Uint8Array, credentials: Credentials): Promise<CaAnswer> {
    const authentication = await this.#deps.authenticator.authenticate(credentials);
    if (authentication.kind === "refused") {
      const { code, why } = authentication;
      return this.#refuse(REFUSAL_CODES[code], code, { peer: credentials.peer, why });
    }
    return this.#issue(bytes, authentication.caller);
  }

  #issue(bytes: Uint8Array, caller: Caller): CaAnswer {
    const { clock, material, issue, log, count } = this.#deps;
    const fields = { caller: `${caller.namespace}/${caller.podName}`, node: caller.nodeName };
    const request = decodeCertificateRequest(bytes);
    if (!request.ok) {
      return this.#refuse(status.INVALID_ARGUMENT, "malformed", {
        ...fields,
        why: request.problems[0]?.message,
      });
    }
    const ca = material();
    if (ca === undefined)
      return this.#refuse(status.UNAVAILABLE, "no-ca", { ...fields, why: "no CA is loaded" });
    const asked = request.value.metadata["ImpersonatedIdentity"];
    const nowMs = clock.nowMs();
    // Anything but text is taken for a malformed identity, never for "my own".
    const requested = asked === undefined || typeof asked === "string" ? asked : "";
    const verdict = this.#checkIdentity(caller, requested, nowMs);
    if (verdict.kind !== "granted") {
      const told = { ...fields, identity: requested?.slice(0, 256), why: verdict.why };
      return verdict.kind === "early"
        ? this.#refuse(status.UNAVAILABLE, "early", told)
        : this.#refuse(status.UNAUTHENTICATED, "identity", told);
    }
    const { identity } = verdict;
    const outcome = issueCertificate({ ...request.value, identity, nowMs }, ca, issue);
    if (outcome.kind === "refused") {
      return this.#refuse(status.INVALID_ARGUMENT, "request", { ...fields, identity, why: outcome.why });
    }
    const { serial, notAfterMs } = outcome;
    log.info(
      { ...fields, identity, serial, not_after: new Date(notAfterMs).toISOString() },
      "certificate issued",
    );
    count("issued");
    return { kind: "issued", response: encodeCertificateResponse({ certChain: outcome.chain }) };
  }

  /** As `checkIdentity`, with an end to patience. */
  #checkIdentity(caller: Caller, requested: string | undefined, nowMs: number): IdentityVerdict {
    const { nodeCheck, facts, waypoints, early } = this.#deps;
    const verdict = checkIdentity(caller, requested, nodeCheck(), {
      nowMs,
      podsOn: (node, account) => facts.podsOn(node, account),
      namespace: (name) => facts.namespace(name),
      pod: (namespace, name) => facts.pod(namespace, name),
      waypoints,
    });
    if (verdict.kind === "granted") early.settle(caller.nodeName, verdict.account);
    if (verdict.kind !== "early" || early.mayBeEarly(caller.nodeName, verdict.account)) return verdict;
    return { kind: "refused", why: verdict.why };
  }

  #refuse(code: number, counted: string, fields: Readonly<Record<string, unknown>>): CaAnswer {
    this.#deps.log.warn(fields, "certificate refused");
    this.#deps.count(counted);
    return { kind: "refused", code, message: "request refused, see the controller's log" };
  }
}
