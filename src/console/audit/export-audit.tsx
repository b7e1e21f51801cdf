import { useRef, useState } from "react";
import { Button } from "../ui/button.tsx";
import { Meter } from "../ui/meter.tsx";
import { useTell } from "../ui/toasts.tsx";

interface Span {
  readonly since: string;
  readonly until: string;
}

interface Progress {
  readonly rows: number;
  readonly of: number;
}

/** Streams the audit of a span into a file, and shows how far it is. */
export function ExportAudit({ since, until }: Span) {
  const [progress, setProgress] = useState<Progress>();
  const stopping = useRef<AbortController>(undefined);
  const tell = useTell();

  async function run() {
    const stop = new AbortController();
    stopping.current = stop;
    setProgress({ rows: 0, of: 0 });
    try {
      const parts = await read({ since, until }, stop.signal, setProgress);
      save(new Blob(parts as BlobPart[], { type: "text/csv" }));
      tell("Audit exported", "The file is among your downloads.");
    } catch (error) {
      if (!stop.signal.aborted) tell("The export failed", String((error as Error).message));
    } finally {
      setProgress(undefined);
    }
  }

  if (progress === undefined) return <Button onClick={run}>Export</Button>;
  const valueText = `${progress.rows} of ${progress.of} rows`;
  return (
    <div className="row">
      <Meter label="Rows exported" value={progress.rows} max={progress.of} {...{ valueText }}>
        <span className="quiet small">{valueText}</span>
      </Meter>
      <Button kind="quiet" onClick={() => stopping.current?.abort()}>
        Stop
      </Button>
    </div>
  );
}

const newLine = 10;

async function read(
  span: Span,
  signal: AbortSignal,
  tellProgress: (progress: Progress) => void,
): Promise<Uint8Array[]> {
  const query = new URLSearchParams({ ...span });
  const headers = { "x-cookie-session": "use" };
  const answer = await fetch(`/export/audit.csv?${query}`, { headers, signal });
  if (!answer.ok || answer.body === null) throw new Error(`The answer was ${answer.status}.`);
  const of = Number(answer.headers.get("x-total-rows"));
  const parts: Uint8Array[] = [];
  // The first line names the columns.
  let rows = -1;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return parts;
    parts.push(value);
    rows += value.reduce((count, byte) => count + (byte === newLine ? 1 : 0), 0);
    tellProgress({ rows: Math.min(Math.max(rows, 0), of), of });
  }
}

function save(blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = "audit.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
