/** What an exit code says of every command that says nothing else of it. */
const usual: Readonly<Record<number, string>> = {
  0: "done",
  1: "the database or the API does not answer or refuses the session, or another error",
  2: "wrong input, or what was asked for is refused: nothing was changed",
};

const ofOneObject = { 4: "nothing of this name is there" };

const ofCommands: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  check: { 0: "allowed", 3: "denied" },
  consume: { 0: "allowed", 3: "denied" },
  apply: { 2: "the configuration is refused: nothing was applied" },
  diff: { 0: "nothing differs", 3: "something differs" },
  doctor: { 0: "all is well", 3: "something is a warning", 5: "something is critical" },
  ledger: { 0: "every token is explained", 3: "there are gaps" },
  replay: { 3: "more was throttled than --fail-over allows" },
  status: { 0: "all is well", 1: "something is not well, or another error" },
  get: ofOneObject,
  describe: ofOneObject,
  create: ofOneObject,
  set: ofOneObject,
  delete: ofOneObject,
  why: ofOneObject,
  usage: ofOneObject,
};

/** The exit codes of a command; without a name, what they say of most. */
export function exitCodesOf(command?: string): Readonly<Record<number, string>> {
  return { ...usual, ...ofCommands[command ?? ""] };
}

/** Commands whose exit codes say more than the usual ones. */
export const commandsWithExitCodes: readonly string[] = Object.keys(ofCommands);

export function exitCodesHelp(command: string): string {
  const lines = Object.entries(exitCodesOf(command)).map(([code, says]) => `  ${code}  ${says}`);
  return ["", "Exit codes:", ...lines].join("\n");
}
