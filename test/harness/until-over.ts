import { onTestFinished } from "vitest";

export interface Over {
  readonly isOver: boolean;
  end(): void;
}

/**
 * What callers of a test look at before they call again. It is over at the test's end, too: one that
 * failed or took too long would leave them calling, on connections that are closed, without end.
 */
export function untilOver(onEnd: (end: () => void) => void = onTestFinished): Over {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  onEnd(end);
  return {
    get isOver() {
      return isOver;
    },
    end,
  };
}
