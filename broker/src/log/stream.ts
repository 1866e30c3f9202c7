import { LIVE_PREFIX, STREAM, SUBJECT_PREFIX } from "@kata/protocol/wire";
import {
  DiscardPolicy,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";

export interface StreamLimits {
  /** How long events are kept, seconds; 0 for ever. Undefined: 7 days for a new stream, an existing one stays as it is. */
  readonly maxAgeSeconds?: number | undefined;
  /** How many bytes are kept. Undefined: no limit for a new stream, an existing one stays as it is. */
  readonly maxBytes?: number | undefined;
  /** Copies in a cluster. Undefined: 1 for a new stream, an existing one stays as it is. */
  readonly replicas?: number | undefined;
}

const WEEK_SECONDS = 7 * 86_400;
const DUPLICATE_WINDOW = nanos(120_000);
const STREAM_NOT_FOUND = 10059;
const SUBJECTS = `${SUBJECT_PREFIX}>`;

/**
 * Creates the stream, or brings an existing one to the form that delivery rests on: it captures every channel's
 * subject, republishes what it stored, answers direct gets, drops the oldest first, and takes no roll-ups or per-message TTLs
 * (either would remove records from the middle, where a resume could not see it).
 */
export async function ensureStream(nc: NatsConnection, limits: StreamLimits = {}): Promise<void> {
  const { streams } = await jetstreamManager(nc, { checkAPI: false });
  const form = {
    subjects: [SUBJECTS],
    republish: { src: SUBJECTS, dest: `${LIVE_PREFIX}${SUBJECTS}` },
    allow_direct: true,
    discard: DiscardPolicy.Old,
    max_msgs_per_subject: -1,
    allow_rollup_hdrs: false,
  } satisfies Partial<StreamConfig>;
  const chosen: Partial<StreamConfig> = {
    ...(limits.maxAgeSeconds === undefined ? {} : { max_age: nanos(limits.maxAgeSeconds * 1000) }),
    ...(limits.maxBytes === undefined ? {} : { max_bytes: limits.maxBytes }),
    ...(limits.replicas === undefined ? {} : { num_replicas: limits.replicas }),
  };
  let existing: StreamConfig;
  try {
    existing = (await streams.info(STREAM)).config;
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== STREAM_NOT_FOUND) throw error;
    const max_age = chosen.max_age ?? nanos(WEEK_SECONDS * 1000);
    await streams.add({
      name: STREAM,
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      max_age,
      duplicate_window: windowWithin(max_age, DUPLICATE_WINDOW),
      num_replicas: 1,
      ...form,
      ...chosen,
    });
    return;
  }
  const duplicate_window = windowWithin(chosen.max_age ?? existing.max_age, existing.duplicate_window);
  const wanted: Partial<StreamConfig> = { ...form, ...chosen, duplicate_window };
  const differs = Object.entries(wanted).some(
    ([key, value]) => JSON.stringify(existing[key as keyof StreamConfig]) !== JSON.stringify(value),
  );
  if (differs) await streams.update(STREAM, { ...existing, ...wanted });
}

/** The server refuses to remember message ids for longer than it keeps messages (0: for ever). */
function windowWithin(maxAge: number, window: number): number {
  return maxAge === 0 ? window : Math.min(maxAge, window);
}
