/** Something that the person at the terminal can set right. The message is one line: what it is, and what to do. */
export class UserError extends Error {
  override readonly name = "UserError";
}
