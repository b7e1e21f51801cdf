import { useEffect, useState } from "react";

/** The value once it has stayed the same for a moment: what is asked of the API while someone types. */
export function useSettled<T>(value: T, pauseMs = 500): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), pauseMs);
    return () => clearTimeout(timer);
  }, [value, pauseMs]);
  return settled;
}
