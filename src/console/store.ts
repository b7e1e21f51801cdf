import { useSyncExternalStore } from "react";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  subscribe(listener: () => void): () => void;
  /** The first value that is as asked for: the present one, or one to come. */
  until(is: (value: T) => boolean): Promise<T>;
}

/** One value that pages follow. */
export function store<T>(initial: T): Store<T> {
  let current = initial;
  const listeners = new Set<() => void>();
  const self: Store<T> = {
    get: () => current,
    set(value) {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    until: (is) =>
      new Promise((resolve) => {
        const stop = self.subscribe(look);
        function look(): void {
          if (!is(current)) return;
          stop();
          resolve(current);
        }
        look();
      }),
  };
  return self;
}

export function useStore<T>({ subscribe, get }: Store<T>): T {
  return useSyncExternalStore(subscribe, get);
}
