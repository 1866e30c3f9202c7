/** What to tell a person about something that was thrown: one line, with the cause that fetch() hides a level down. */
export function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const text =
    thrown.message === "fetch failed" && thrown.cause instanceof Error ? thrown.cause.message : thrown.message;
  return (text || thrown.name).replaceAll(/\s*\n\s*/g, " ");
}
