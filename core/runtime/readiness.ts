/** Named gates: ready when all are open. Says which are pending. */
export interface Readiness {
  /** Adds a gate that starts closed. The result opens (true) or closes (false) it. */
  gate(name: string): (open: boolean) => void;
  isReady(): boolean;
  /** Names of the closed gates, in the order of creation. */
  pending(): readonly string[];
}

export function createReadiness(): Readiness {
  const gates = new Map<string, boolean>();
  const pending = (): readonly string[] => [...gates].filter(([, open]) => !open).map(([name]) => name);
  return {
    gate: (name) => {
      gates.set(name, false);
      return (open) => gates.set(name, open);
    },
    isReady: () => pending().length === 0,
    pending,
  };
}
