/** Something that the person at the terminal can put right; the message is one line that says what and how. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** Behind what was given instead of a channel. */
export const NO_CHANNEL = "is no channel: team:{id}, spec:{id} or agent:{id}, ids of A-Z a-z 0-9 _ -";
