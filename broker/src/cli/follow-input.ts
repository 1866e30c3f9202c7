import { type FollowOptions, followFile } from "./follow.ts";
import { Journal } from "./journal.ts";
import { countLost, type Destination } from "./publish-batch.ts";
import type { Input } from "./publish-lines.ts";
import { resend } from "./resend.ts";
import { lockState } from "./state-lock.ts";
import { readStdin } from "./stdin.ts";

/** What the command line says of a followed file. */
export interface FollowInputOptions {
  readonly type: string;
  /** `-` is stdin. */
  readonly follow: string;
  readonly from?: string;
  readonly state?: string;
  readonly retry?: boolean;
  readonly end?: string | true;
  readonly team?: string | undefined;
}

/**
 * Opens what is followed; `undefined` if it was waited for until the signal, and is not there. With a state, first what an earlier
 * process has sent is settled, and reading goes on from there.
 *
 * @throws UsageError if it cannot be read, or the state cannot; PublisherError if what was sent before is refused
 */
export async function followInput(
  { follow: path, type, from, state, retry, end, team }: FollowInputOptions,
  destination: Destination,
  signal: AbortSignal,
): Promise<Input | undefined> {
  const lost = (line: string) => countLost(destination, line);
  if (path === "-") return { source: readStdin(process.stdin, signal, lost) };
  const options: FollowOptions = {
    path,
    signal,
    from: from === "end" ? "end" : "start",
    retry: retry === true,
    // Whoever goes on finds the whole line; where the stream ends, nobody does.
    leaveUnfinished: state !== undefined && end === undefined,
    tell: destination.tell,
    lost,
  };
  if (state === undefined) {
    const source = await followFile(options);
    return source && { source };
  }
  await lockState(state);
  const following = { file: path, channel: destination.channel, type, team };
  const journal = await Journal.read(state, following);
  if (journal === undefined) {
    const source = await followFile(options);
    return source && { source, journal: await Journal.begin(state, following, source.standing) };
  }
  await resend(journal, path, destination);
  const source = await followFile({ ...options, from: journal.next });
  if (source === undefined) return undefined;
  journal.goOnAt(source.standing);
  return { source, journal };
}
