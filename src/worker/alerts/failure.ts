/** A notification that no retry can deliver. */
export class PermanentFailure extends Error {
  override readonly name: string = "PermanentFailure";
}
