import { ago, localMoment, preciseMoment, utc } from "../format/time.ts";
import { useNow } from "../live/now.ts";

interface Props {
  readonly at: string;
  readonly isRelative?: boolean;
  /** To the second. */
  readonly isPrecise?: boolean;
}

/** In the viewer's zone; UTC on hover. */
export function Moment({ at, isRelative, isPrecise }: Props) {
  return (
    <time dateTime={at} title={`${preciseMoment(at)}\n${utc(new Date(at).toISOString())}`}>
      {isRelative ? <Ago at={at} /> : (isPrecise ? preciseMoment : localMoment)(at)}
    </time>
  );
}

function Ago({ at }: Pick<Props, "at">) {
  return ago(at, useNow());
}
