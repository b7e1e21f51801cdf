/**
 * A reason to skip a suite, as it was given. Throws instead where `.ci/run` has installed every
 * program that suites need: there nothing may be skipped for want of one.
 */
export function unlessRequired(reason: string | undefined): string | undefined {
  if (reason !== undefined && process.env.QOS_TEST_PROGRAMS === "installed") {
    throw new Error(`a suite would be skipped: ${reason}`);
  }
  return reason;
}
