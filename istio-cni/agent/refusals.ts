/** Counts what the agent refused, by kind; read at each scrape. */
export type RefusalKind =
  /** A CNI request that failed: malformed, doubtful, or not possible now. */
  | "cni-request"
  /** A process on the CNI socket that is not root of the node. */
  | "cni-caller"
  /** A process on the ZDS socket that is not this node's ztunnel. */
  | "zds-client"
  /** A ztunnel that broke the protocol. */
  | "zds-protocol"
  /** A pod whose traffic could not be captured. */
  | "capture";

const KINDS: readonly RefusalKind[] = ["cni-request", "cni-caller", "zds-client", "zds-protocol", "capture"];

export class RefusalCounts {
  readonly #counts = new Map<RefusalKind, number>(KINDS.map((kind) => [kind, 0]));

  count(kind: RefusalKind): void {
    this.#counts.set(kind, this.of(kind) + 1);
  }

  of(kind: RefusalKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  all(): readonly (readonly [RefusalKind, number])[] {
    return [...this.#counts];
  }
}
