import { useRef, useState } from "react";

export interface Point {
  /** Seconds since 1970. */
  readonly at: number;
  readonly values: readonly (number | null)[];
}

/** The last points of what a page follows. */
export function useSeries(most = 150) {
  const points = useRef<Point[]>([]);
  const [, setCount] = useState(0);
  return {
    points: points.current,
    add(point: Point) {
      const last = points.current.at(-1);
      if (last !== undefined && last.at >= point.at) return;
      points.current = [...points.current.slice(1 - most), point];
      setCount((count) => count + 1);
    },
  };
}
