/** A moment as people and programs read it, to the millisecond, in UTC. */
export function moment(text: string): string {
  return new Date(text).toISOString();
}
