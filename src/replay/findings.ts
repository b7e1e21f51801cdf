/** What reading a log left out, and what it could not know. */
export interface Findings {
  /** Lines that hold no request of a caller, by their word. */
  readonly skipped: Map<string, number>;
  /** Requests that the gateway gives back, by the reason. */
  readonly givenBack: Map<string, number>;
  /** What the log does not say, with what was assumed for it. */
  readonly unknown: Map<string, number>;
  /** All times are whole seconds: the requests of one are spread over it. */
  hasWholeSeconds: boolean;
  /** Lines that cannot be read: their count, and the first of them by number. */
  readonly badLines: { count: number; readonly first: BadLine[] };
}

export interface BadLine {
  readonly trace: string;
  readonly line: number;
  readonly reason: string;
}

const namedBadLines = 20;

export function noFindings(): Findings {
  return {
    ...{ skipped: new Map(), givenBack: new Map(), unknown: new Map() },
    hasWholeSeconds: true,
    badLines: { count: 0, first: [] },
  };
}

export function count(counts: Map<string, number>, word: string): void {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

export function nameBadLine({ badLines }: Findings, bad: BadLine): void {
  badLines.count += 1;
  if (badLines.first.length < namedBadLines) badLines.first.push(bad);
}
