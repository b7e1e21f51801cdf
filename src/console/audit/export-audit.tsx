import { useRef, useState } from "react";
import { Button } from "../ui/button.tsx";
import { useTell } from "../ui/toasts.tsx";

interface Span {
  readonly since: string;
  readonly until: string;
}

/** Streams the audit of a span into a file, and shows how much there is of it. */
export function ExportAudit({ since, until }: Span) {
  const [rows, setRows] = useState<number>();
  const stopping = useRef<AbortController>(undefined);
  const tell = useTell();

  async function run() {
    const stop = new AbortController();
    stopping.current = stop;
    setRows(0);
    try {
      const { parts, isCut } = await read({ since, until }, stop.signal, setRows);
      save(new Blob(parts as BlobPart[], { type: "text/csv" }));
      if (isCut) tell("Audit exported in part", "One file takes no more rows: choose less time.");
      else tell("Audit exported", "The file is among your downloads.");
    } catch (error) {
      if (!stop.signal.aborted) tell("The export failed", String((error as Error).message));
    } finally {
      setRows(undefined);
    }
  }

  if (rows === undefined) return <Button onClick={run}>Export</Button>;
  return (
    <div className="row">
      <output className="quiet small">{rows} rows exported</output>
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
  tellRows: (rows: number) => void,
): Promise<{ readonly parts: Uint8Array[]; readonly isCut: boolean }> {
  const query = new URLSearchParams({ ...span });
  const headers = { "x-cookie-session": "use" };
  const answer = await fetch(`/export/audit.csv?${query}`, { headers, signal });
  if (!answer.ok || answer.body === null) throw new Error(`The answer was ${answer.status}.`);
  // Nothing is counted ahead, and browsers do not show trailers.
  const most = Number(answer.headers.get("x-row-limit"));
  const parts: Uint8Array[] = [];
  // The first line names the columns.
  let rows = -1;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return { parts, isCut: rows >= most };
    parts.push(value);
    rows += value.reduce((count, byte) => count + (byte === newLine ? 1 : 0), 0);
    tellRows(Math.max(rows, 0));
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
