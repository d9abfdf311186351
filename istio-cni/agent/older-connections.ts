/**
 * Connections that were open before their pod was captured. They carry no identity, so they are listed for operators
 * and ended as soon as a policy covers the pod.
 */
import { type CoveringPolicy, coveredBy } from "#core/authz/covers.ts";
import { formatSocketAddress } from "#core/net/socket-address.ts";
import { describeError } from "#core/runtime/errors.ts";
import type { Logger } from "#core/runtime/log.ts";
import type { NodeCapture, PreEnrolmentConnection } from "../capture/capture.ts";
import type { PodEntry, PodRegistry } from "./pod-registry.ts";
import { podText } from "./pod-ref.ts";

export interface OlderConnectionsDeps {
  readonly capture: NodeCapture;
  readonly pods: PodRegistry;
  readonly policies: () => readonly CoveringPolicy[];
  readonly rootNamespace: string;
  readonly log: Logger;
}

/** One row of `GET /connections`. */
export interface OlderConnectionRow {
  readonly namespace: string;
  readonly name: string;
  readonly direction: "inbound" | "outbound";
  readonly local: string;
  readonly remote: string;
  readonly state: string;
}

export class OlderConnections {
  readonly #deps: OlderConnectionsDeps;

  constructor(deps: OlderConnectionsDeps) {
    this.#deps = deps;
  }

  list(): readonly OlderConnectionRow[] {
    return this.#deps.pods
      .all()
      .flatMap((entry) => this.#connectionsOf(entry).map((connection) => row(entry, connection)));
  }

  /** Ends those of every pod that a policy covers now; one log line each. Returns how many. */
  endCovered(): number {
    const policies = this.#deps.policies();
    return this.#deps.pods.all().reduce((ended, entry) => ended + this.#endOf(entry, policies), 0);
  }

  #endOf(entry: PodEntry, policies: readonly CoveringPolicy[]): number {
    const { log, rootNamespace, capture } = this.#deps;
    const policy = coveredBy(policies, entry.pod, { rootNamespace });
    if (policy === undefined) return 0;
    const connections = this.#connectionsOf(entry);
    if (connections.length === 0) return 0;
    const ended = capture.destroyPreEnrolment(entry.target);
    for (const connection of connections) {
      const by = `${policy.kind} ${policy.namespace}/${policy.name}`;
      const { namespace, name, ...ends } = row(entry, connection);
      log.info(
        { pod: `${namespace}/${name}`, ...ends, policy: by },
        "connection older than enrolment ended: a policy covers the pod",
      );
    }
    return ended;
  }

  #connectionsOf(entry: PodEntry): readonly PreEnrolmentConnection[] {
    try {
      return this.#deps.capture.listPreEnrolment(entry.target);
    } catch (error) {
      this.#deps.log.warn(
        { pod: podText(entry.pod), error: describeError(error) },
        "older connections not listed",
      );
      return [];
    }
  }
}

function row(entry: PodEntry, connection: PreEnrolmentConnection): OlderConnectionRow {
  const { namespace, name } = entry.pod;
  const { direction, local, remote, state } = connection;
  return {
    namespace,
    name,
    direction,
    local: formatSocketAddress(local),
    remote: formatSocketAddress(remote),
    state,
  };
}
