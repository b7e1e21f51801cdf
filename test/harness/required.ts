/** What `.ci/run` installs: Debian's packages of .ci/packages, and the client of .ci/postgres-client. */
type Programs = "system" | "postgres-client";

/**
 * A reason to skip a suite, as it was given. Throws instead where `.ci/run` has installed the
 * programs that the suite needs: there nothing may be skipped for want of one.
 */
export function unlessRequired(
  reason: string | undefined,
  programs: Programs = "system",
): string | undefined {
  const installed = process.env.QOS_TEST_PROGRAMS?.split(" ") ?? [];
  if (reason !== undefined && installed.includes(programs)) {
    throw new Error(`a suite would be skipped: ${reason}`);
  }
  return reason;
}
