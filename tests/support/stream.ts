import { checkOf, epochOf, formatEventId, LIVE_PREFIX, STREAM, SUBJECT_PREFIX } from "@kata/protocol/wire";
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { connectNats } from "./nats-connect.ts";

/** One message of the log, read back. */
export interface LogRecord {
  readonly seq: number;
  readonly subject: string;
  readonly messageId: string;
  readonly lines: readonly string[];
  /** What a publisher must have computed for each line. */
  readonly eventIds: readonly string[];
}

/** Creates the stream as the broker does, with a duplicate window of two minutes unless `overrides` says otherwise. */
export async function ensureTestStream(
  nats: NatsConnection | string,
  overrides: Partial<StreamConfig> = {},
): Promise<void> {
  await withManager(nats, async (manager) => {
    await manager.streams.add({
      name: STREAM,
      subjects: [`${SUBJECT_PREFIX}>`],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      num_replicas: 1,
      allow_direct: true,
      allow_rollup_hdrs: false,
      duplicate_window: nanos(120_000),
      republish: { src: `${SUBJECT_PREFIX}>`, dest: `${LIVE_PREFIX}${SUBJECT_PREFIX}>` },
      ...overrides,
    });
  });
}

export async function deleteTestStream(nats: NatsConnection | string): Promise<void> {
  await withManager(nats, (manager) => manager.streams.delete(STREAM));
}

/**
 * Deletes the stream and makes it anew, empty, in the same form. nats-server 2.15.1 takes its time to delete: what is made at once
 * can fail, or hold the old records; then it is done again.
 */
export async function recreateTestStream(nats: NatsConnection | string): Promise<void> {
  await withManager(nats, async ({ streams }) => {
    const { config } = await streams.info(STREAM);
    for (let empty = false; !empty; ) {
      try {
        await streams.delete(STREAM);
        await streams.add(config);
        empty = (await streams.info(STREAM)).state.last_seq === 0;
      } catch (error) {
        if (!(error instanceof JetStreamApiError)) throw error;
        await streams.add(config).catch(() => undefined);
      }
    }
  });
}

/** Everything in the log, or everything of one subject, in order. */
export async function readLog(nats: NatsConnection | string, subject = `${SUBJECT_PREFIX}>`): Promise<LogRecord[]> {
  return await withManager(nats, async (manager) => {
    const { created, state } = await manager.streams.info(STREAM);
    const epoch = epochOf(created);
    const records: LogRecord[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; ) {
      const page = await manager.direct.getBatch(STREAM, { seq, next_by_subj: subject, batch: 256 });
      let last: number | undefined;
      try {
        for await (const message of page) {
          last = message.seq;
          const messageId = message.header.get("Nats-Msg-Id");
          const lines = message.string().split("\n");
          const check = checkOf(messageId === "" ? message.data : messageId);
          const eventIds = lines.map((_, n) => formatEventId(epoch, message.seq, check, n));
          records.push({ seq: message.seq, subject: message.subject, messageId, lines, eventIds });
        }
      } catch (error) {
        // Nothing of this subject from here on.
        if (!(error instanceof Error && error.message === "message not found")) throw error;
      }
      if (last === undefined) break;
      seq = last + 1;
    }
    return records;
  });
}

async function withManager<T>(
  nats: NatsConnection | string,
  use: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  if (typeof nats !== "string") return await use(await jetstreamManager(nats));
  const nc = await connectNats(nats);
  try {
    return await use(await jetstreamManager(nc));
  } finally {
    await nc.close();
  }
}
