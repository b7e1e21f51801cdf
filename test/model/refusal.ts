/** What the limiter answers with an error, by the word a vector file uses for it. */
export class Refusal extends Error {
  readonly word: string;

  constructor(word: string) {
    super(word);
    this.word = word;
  }
}
