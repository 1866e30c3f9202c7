/**
 * Ends the process as soon as what was written has been taken, and at the latest after `patienceMs`: a reader that does
 * not read can hold up neither Ctrl-C nor a supervisor. What else is open, such as a connection whose other side does not
 * answer, is not waited for.
 */
export async function exit(code: number, patienceMs = Number.POSITIVE_INFINITY): Promise<void> {
  if (patienceMs !== Number.POSITIVE_INFINITY) setTimeout(() => process.exit(code), patienceMs);
  await Promise.all([process.stdout, process.stderr].map(taken));
  process.exit(code);
}

/** Resolves when everything before has been taken, or can no longer be. */
function taken(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}
