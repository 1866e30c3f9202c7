import { JetStreamApiError, jetstream } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Bucket, type BucketState, type BucketWatch, StoreUnavailableError } from "./bucket.ts";

/** JetStream's word for: somebody else has written since. Two codes, by how much the server knows. */
const WRONG_LAST_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164]);

export interface NatsBucketOptions {
  /** Copies in a cluster; default 1. An existing bucket stays as it is. */
  readonly replicas?: number | undefined;
  /** How long NATS may take to answer, milliseconds; default 5,000. */
  readonly timeoutMs?: number | undefined;
}

/** A bucket of NATS KV, made if it is not there. */
export async function openNatsBucket(
  nc: NatsConnection,
  name: string,
  { replicas = 1, timeoutMs = 5_000 }: NatsBucketOptions = {},
): Promise<Bucket> {
  // Reads come from the leader: a key that was just revoked must not be valid on a replica that lags.
  const kvm = new Kvm(jetstream(nc, { timeout: timeoutMs }));
  const kv = await answered(name, () => kvm.create(name, { history: 1, replicas, allow_direct: false }));
  return {
    name,
    async get(key) {
      const entry = await answered(name, () => kv.get(key));
      if (entry === null || entry.operation !== "PUT") return undefined;
      return { key, value: entry.value, revision: entry.revision };
    },
    create: (key, value) => unlessOvertaken(name, () => kv.create(key, value)),
    update: (key, value, revision) => unlessOvertaken(name, () => kv.update(key, value, revision)),
    async delete(key, revision) {
      const deleted = await unlessOvertaken(name, async () => {
        await kv.delete(key, { previousSeq: revision });
        return revision;
      });
      return deleted !== undefined;
    },
    state: () => answered(name, () => stateOf(kv)),
    watch: (onChange) => answered(name, () => watch(kv, onChange)),
  };
}

async function stateOf(kv: KV): Promise<BucketState> {
  const { streamInfo } = await kv.status();
  const { created, state } = streamInfo;
  // A bucket that somebody has made to keep earlier values, too, holds more messages than keys.
  return { revision: state.last_seq, entries: state.num_subjects ?? state.messages, incarnation: created };
}

async function watch(kv: KV, onChange: Parameters<Bucket["watch"]>[0]): Promise<BucketWatch> {
  const changes = await kv.watch();
  const ended = (async () => {
    for await (const { key, operation, value, revision, delta } of changes) {
      onChange({ key, value: operation === "PUT" ? value : undefined, revision }, delta ?? 0);
    }
  })();
  // How it ended does not matter: whoever watches begins anew.
  return { ended: ended.catch(() => undefined), stop: () => changes.stop() };
}

async function unlessOvertaken(name: string, write: () => Promise<number>): Promise<number | undefined> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof JetStreamApiError && WRONG_LAST_SEQUENCE.has(error.code)) return undefined;
    throw unavailable(name, error);
  }
}

async function answered<T>(name: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw unavailable(name, error);
  }
}

function unavailable(name: string, cause: unknown): StoreUnavailableError {
  const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
  return new StoreUnavailableError(`the bucket ${name} cannot be reached: ${why}`, { cause });
}
