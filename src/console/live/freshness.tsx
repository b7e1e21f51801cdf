import { useNow } from "./now.ts";

const staleAfterMs = 6_000;

/** Says whether what is shown is live, and how old it is where it is not. */
export function Freshness({ heardAt }: { readonly heardAt: number | undefined }) {
  const now = useNow();
  if (heardAt === undefined) return <span className="fresh fresh-waiting">Connecting</span>;
  const age = now - heardAt;
  if (age < staleAfterMs) return <span className="fresh fresh-live">Live</span>;
  return (
    <span className="fresh fresh-stale" role="status">
      {Math.round(age / 1000)} s old
    </span>
  );
}
