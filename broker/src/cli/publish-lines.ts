import type { FollowedSource } from "./follow.ts";
import { attemptOf, type Journal } from "./journal.ts";
import { byNumber, byPlace } from "./line-name.ts";
import { type Batch, batchOf, type Destination, publishBatch } from "./publish-batch.ts";
import type { Source } from "./source.ts";
import { cut, type Stretch } from "./stretch.ts";

/**
 * How many stretches may be on their way: enough that the next record is there when the log has the one before, and that writing
 * the journal is shared by several. As each has at most 128 KiB or is one line, this is also how far reading runs ahead of the log.
 */
const AHEAD = 16;

/** With a journal, what is sent is written down before, and how far the file has got. */
export type Input = { readonly source: Source } | { readonly source: FollowedSource; readonly journal: Journal };

/**
 * Publishes an event for each line, in order. A line that cannot be one is told; the others go on.
 * Resolves when the lines have ended and the log has them, however long that takes.
 *
 * @param giveUp called when it cannot go on, so that the source ends
 * @throws what the source throws, after the lines before it were published; PublisherError when the log refuses them all;
 *   UsageError when the journal cannot be written
 */
export async function publishLines(input: Input, destination: Destination, giveUp: () => void): Promise<void> {
  const { source } = input;
  const flights: Promise<void>[] = [];
  let failure: { readonly error: unknown } | undefined;
  let part = "journal" in input ? input.journal.part : 0;
  let line = 1;

  // Into a log that may be another one than the state's, no more than what tells.
  const ahead = () => (!("journal" in input) || input.journal.sameLog ? AHEAD : 1);

  const send = (stretch: Stretch): Promise<void> => {
    const at = Date.now();
    const bytes = source.bytes.subarray(0, stretch.bytes);
    // Published again it must be the same to the byte, with its timestamp.
    const timestamp = "journal" in input ? new Date(at).toISOString() : undefined;
    const { place } = source;
    const nameLine = place === undefined ? byNumber(line) : byPlace(place, bytes, stretch);
    const batch = batchOf(destination, bytes, { ...stretch, begins: source.begins }, timestamp, nameLine);
    part = stretch.more === true ? (stretch.part ?? 0) : 0;
    line += stretch.lines;
    return "journal" in input ? recordAndPublish(input, destination, batch, stretch, at) : publish(batch, stretch);
  };
  const publish = async (batch: Batch, stretch: Stretch): Promise<void> => {
    source.take(stretch.bytes);
    await publishBatch(destination, batch);
  };

  try {
    while (failure === undefined) {
      const stretch = cut(source.bytes, source.ended, part, destination.format);
      if (stretch === undefined) {
        const { ended } = source;
        if (!(await source.more())) break;
        if (!ended) continue;
        // Another file, whose lines begin with it.
        part = 0;
        if ("journal" in input) input.journal.goOnAt(input.source.standing);
      } else if (flights.length >= ahead()) {
        await flights.shift();
      } else {
        const flight = send(stretch).catch((error) => {
          failure ??= { error };
          giveUp();
        });
        flights.push(flight);
      }
    }
  } finally {
    await Promise.all(flights);
  }
  if (failure !== undefined) throw failure.error;
  if (!("journal" in input)) return;
  // What is beside the file may be known better than when its last lines were recorded.
  input.journal.goOnAt(input.source.standing);
  await input.journal.save();
}

/** Calls of it publish in their order: what is recorded together is published in the order in which it was. */
async function recordAndPublish(
  { source, journal }: Extract<Input, { journal: Journal }>,
  destination: Destination,
  batch: Batch,
  stretch: Stretch,
  at: number,
): Promise<void> {
  const from = source.place;
  source.take(stretch.bytes);
  const sent = await journal.record(from, stretch, source.standing, at);
  journal.settled(sent, await publishBatch(destination, batch, attemptOf(sent, journal.after, 0)));
  await journal.save();
}
