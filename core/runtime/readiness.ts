/** Named gates: ready when all are open. Says which are pending. */
export interface Readiness {
  /** Adds a gate that starts closed. The result opens (true) or closes (false) it. */
  gate(name: string): (open: boolean) => void;
  /** Adds a gate that is looked at whenever somebody asks: for what time alone can close. */
  condition(name: string, isOpen: () => boolean): void;
  isReady(): boolean;
  /** Names of the closed gates, in the order of creation. */
  pending(): readonly string[];
}

export function createReadiness(): Readiness {
  const gates = new Map<string, () => boolean>();
  const pending = (): readonly string[] => [...gates].filter(([, isOpen]) => !isOpen()).map(([name]) => name);
  return {
    gate: (name) => {
      let isOpen = false;
      gates.set(name, () => isOpen);
      return (open) => {
        isOpen = open;
      };
    },
    condition: (name, isOpen) => void gates.set(name, isOpen),
    isReady: () => pending().length === 0,
    pending,
  };
}
