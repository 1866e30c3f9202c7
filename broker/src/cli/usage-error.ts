/** Something that the person at the terminal can put right; the message is one line that says what and how. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
