/** What was decided for one application, beside what leases and the database admitted. */
export class Tally {
  denied = 0;
  /** Admitted by the outage policy. */
  uncharged = 0;
}
