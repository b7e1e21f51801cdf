/**
 * The smallest part of a list, as far as halves and quarters and so on find it, of which a test still
 * says that it fails (delta debugging). Runs the test at most `mostRuns` times.
 */
export async function shrink<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
  mostRuns: number,
): Promise<readonly T[]> {
  let [left, parts, runs] = [items, 2, 0];
  const failsStill = async (part: readonly T[]) => runs++ < mostRuns && (await fails(part));
  while (left.length > 1 && runs < mostRuns) {
    const smaller = await firstThat(failsStill, complements(left, parts));
    if (smaller !== undefined) parts = Math.max(parts - 1, 2);
    else if (parts >= left.length) return left;
    else parts = Math.min(parts * 2, left.length);
    left = smaller ?? left;
  }
  return left;
}

/** The list without each of its parts in turn. */
function* complements<T>(items: readonly T[], parts: number): Generator<readonly T[]> {
  const size = Math.ceil(items.length / parts);
  for (let start = 0; start < items.length; start += size) {
    yield [...items.slice(0, start), ...items.slice(start + size)];
  }
}

async function firstThat<T>(
  holds: (item: T) => Promise<boolean>,
  items: Iterable<T>,
): Promise<T | undefined> {
  for (const item of items) if (await holds(item)) return item;
  return undefined;
}
