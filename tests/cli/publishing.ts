import { createPublisher, type Publisher } from "@kata/publisher";
import { CHANNEL, type Kata, TEAM } from "./rig.ts";

/** What a test publishes, and what the log has acknowledged of it. */
export interface Source extends AsyncDisposable {
  readonly publisher: Publisher;
  /** The eventIds, in order. */
  readonly acked: string[];
  /** Publishes log entries with these messages. */
  publish(...messages: string[]): Promise<void>;
  /** Publishes until `kata` has printed a line: from then on it is live. */
  publishUntilSeen(kata: Kata): Promise<void>;
  /** Publishes all the while until `done` is settled. */
  publishWhile(done: Promise<unknown>): Promise<void>;
}

export async function createSource(nats: { readonly url: string }): Promise<Source> {
  const publisher = await createPublisher({ servers: nats.url, teamId: TEAM });
  const acked: string[] = [];
  const publish = async (...messages: string[]) => {
    const events = messages.map((message) => ({ type: "log_entry", payload: { message } }));
    for (const { eventId } of await publisher.publishMany(CHANNEL, events)) acked.push(eventId);
  };
  const publishWhile = async (done: Promise<unknown>) => {
    let over = false;
    const end = () => {
      over = true;
    };
    done.then(end, end);
    while (!over) await publish(`event ${acked.length}`);
    await done;
  };
  return {
    publisher,
    acked,
    publish,
    publishWhile,
    publishUntilSeen: (kata) => publishWhile(kata.until(({ lines }) => lines.length > 0)),
    [Symbol.asyncDispose]: () => publisher.close(),
  };
}
