/** One current value and those who want to hear of the next ones ("watch channel"). Synchronous. */

export interface WatchValue<T> {
  get(): T;
  /** Called with each new value, not with the current one. Returns the function that ends it. */
  subscribe(listener: (value: T) => void): () => void;
}

export interface SettableWatchValue<T> extends WatchValue<T> {
  set(value: T): void;
}

export function createWatchValue<T>(initial: T): SettableWatchValue<T> {
  let current = initial;
  const listeners = new Set<(value: T) => void>();
  return {
    get: () => current,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    set: (value) => {
      current = value;
      for (const listener of listeners) listener(value);
    },
  };
}
