import { PublisherError } from "@kata/publisher";
import { locate, readAt } from "./file-place.ts";
import { attemptOf, type Journal, type SentBatch } from "./journal.ts";
import { byPlace } from "./line-name.ts";
import { batchOf, countLost, type Destination, publishBatch } from "./publish-batch.ts";

/**
 * How long ago it may have been published, milliseconds: as long as any can be. When it was, the clock would have to say, and that
 * may have been set back. So the log is searched for it where JetStream does not know it any more.
 */
const SINCE_MS = 365 * 24 * 3_600_000;

/**
 * Publishes once more what an earlier process has sent and may not have seen acknowledged: the same bytes under the same keys,
 * so that the log has them once. What is not in the file any more, the log may or may not have: that is told.
 *
 * @param path the followed file
 */
export async function resend(journal: Journal, path: string, destination: Destination): Promise<void> {
  const { after } = journal;
  for (const sent of [...journal.sent]) {
    const bytes = await bytesOf(sent, path);
    const eventId = bytes === undefined ? lost(sent, destination) : await again(sent, bytes, after, destination);
    journal.settled(sent, eventId);
    await journal.save();
  }
}

async function again(
  sent: SentBatch,
  bytes: Buffer,
  after: string | undefined,
  destination: Destination,
): Promise<string | undefined> {
  const stretch = { ...sent, begins: sent.from.offset === 0 };
  const nameLine = byPlace(sent.from, bytes, stretch);
  const batch = batchOf(destination, bytes, stretch, new Date(sent.at).toISOString(), nameLine);
  try {
    return await publishBatch(destination, batch, attemptOf(sent, after, SINCE_MS));
  } catch (error) {
    if (!(error instanceof PublisherError && error.code === "key_taken")) throw error;
    destination.tell(`${sent.from.path} was changed behind byte ${sent.from.offset} after it was published`);
    return undefined;
  }
}

async function bytesOf({ from, bytes }: SentBatch, path: string): Promise<Buffer | undefined> {
  const file = await locate(from, path);
  if (file === undefined) return undefined;
  try {
    const found = await readAt(file.handle, from.offset, bytes);
    return found.length === bytes ? found : undefined;
  } finally {
    await file.handle.close();
  }
}

function lost({ from, bytes }: SentBatch, destination: Destination): undefined {
  countLost(
    destination,
    `${bytes} bytes behind byte ${from.offset} of ${from.path} are gone, and it is not known whether they were published`,
  );
}
