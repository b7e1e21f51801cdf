/** A call that is answered with an error, by the word that a vector file has for it. */
export class ModelError extends Error {
  readonly word: string;

  constructor(word: string) {
    super(word);
    this.word = word;
  }
}
