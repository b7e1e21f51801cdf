import { connection } from "../api/connection.ts";
import { useStore } from "../store.ts";

export function ConnectionBanner() {
  const isLost = useStore(connection) === "lost";
  return (
    <div role="status">
      {isLost && (
        <p className="banner">
          The connection is lost. What you see is the last that came; this page goes on by itself.
        </p>
      )}
    </div>
  );
}
