export interface Bar {
  readonly name: string;
  readonly value: number | undefined;
  readonly least?: number | undefined;
  readonly most?: number | undefined;
}

const barHeight = 18;
const labelWidth = 210;
const plotWidth = 520;
const top = 36;

/** Horizontal bars on a logarithmic scale, for figures that lie a thousandfold apart. */
export function barChart(title: string, bars: readonly Bar[], mark?: number): string {
  const known = bars.filter((bar): bar is Bar & { value: number } => (bar.value ?? 0) > 0);
  const values = known.flatMap(({ value, least, most }) => [value, least ?? value, most ?? value]);
  const scale = logarithmic([...values, ...(mark === undefined ? [] : [mark])]);
  const height = top + known.length * barHeight + 10;
  const markLine =
    mark === undefined
      ? ""
      : `<line x1="${scale(mark)}" x2="${scale(mark)}" y1="${top - 4}" y2="${height - 6}" stroke="#c0392b"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="820" height="${height}" role="img"`,
    ` font-family="sans-serif" font-size="12"><title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="8" y="20" font-weight="bold">${escaped(title)}</text>`,
    ...known.map((bar, i) => drawBar(bar, top + i * barHeight, scale)),
    `${markLine}</svg>\n`,
  ].join("\n");
}

function drawBar(bar: Bar & { value: number }, y: number, scale: (value: number) => number) {
  const end = scale(bar.value);
  const middle = y + barHeight / 2;
  const spread =
    bar.least && bar.most
      ? `<line x1="${scale(bar.least)}" x2="${scale(bar.most)}" y1="${middle}" y2="${middle}" stroke="#1b4f72"/>`
      : "";
  return (
    `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(bar.name)}</text>` +
    `<rect x="${labelWidth}" y="${y + 3}" width="${end - labelWidth}" height="${barHeight - 6}"` +
    ` fill="#5dade2"/>${spread}` +
    `<text x="${Math.max(end, scale(bar.most ?? bar.value)) + 6}" y="${middle + 4}">${bar.value.toPrecision(3)}</text>`
  );
}

function logarithmic(values: readonly number[]): (value: number) => number {
  const least = Math.log10(Math.min(...values)) - 0.3;
  const most = Math.log10(Math.max(...values));
  const span = most - least || 1;
  return (value) => labelWidth + Math.round((plotWidth * (Math.log10(value) - least)) / span);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
