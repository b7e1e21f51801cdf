/** A notice that no further attempt would get through. */
export class PermanentFailure extends Error {
  override readonly name: string = "PermanentFailure";
}
