import type { NatsConnection } from "@nats-io/transport-node";
import { ask } from "./ask.ts";
import type { StoredMessage, StreamFacts, StreamReader } from "./stream-reader.ts";

interface Answer {
  readonly error?: { readonly message?: string };
}

interface FoundAnswer extends Answer {
  readonly message?: { readonly seq: number; readonly publishId?: string; readonly digest?: string } | null;
  readonly searchedTo?: number;
  readonly gone?: boolean;
}

/** What brokers tell a publisher that NATS has let in with its API key. */
export interface About {
  readonly teamId: string;
  readonly stream: string;
  readonly idempotencySecret: Uint8Array;
}

/** Asks the brokers, on the subjects of a team: for publishers that may not ask JetStream. */
export class BrokerReader implements StreamReader {
  readonly #nc: NatsConnection;
  readonly #prefix: string;
  readonly #timeoutMs: number;

  constructor(nc: NatsConnection, teamId: string, timeoutMs: number) {
    this.#nc = nc;
    this.#prefix = `kata.publisher.${teamId}.`;
    this.#timeoutMs = timeoutMs;
  }

  async about(): Promise<About> {
    const { teamId, stream, idempotencySecret } = await this.#ask<Answer & Partial<Record<keyof About, string>>>(
      "about",
    );
    if (teamId === undefined || stream === undefined || idempotencySecret === undefined) throw unreadable();
    return { teamId, stream, idempotencySecret: Buffer.from(idempotencySecret, "base64url") };
  }

  async facts(): Promise<StreamFacts> {
    const { epoch, lastSeq, duplicateWindowMs } = await this.#ask<Answer & Partial<StreamFacts>>("stream");
    if (epoch === undefined || lastSeq === undefined || duplicateWindowMs === undefined) throw unreadable();
    return { epoch, lastSeq, duplicateWindowMs };
  }

  async at(seq: number, subject: string, messageId: string): Promise<StoredMessage | "gone" | undefined> {
    const { message, gone } = await this.#ask<FoundAnswer>("at", { seq, subject, messageId });
    return stored(message) ?? (gone === true ? "gone" : undefined);
  }

  async find(subject: string, messageId: string, afterSeq: number): Promise<StoredMessage | undefined> {
    for (let from = afterSeq; ; ) {
      // A broker searches so far, and no farther, at a time.
      const { message, searchedTo } = await this.#ask<FoundAnswer>("find", { subject, messageId, afterSeq: from });
      const found = stored(message);
      if (found !== undefined || searchedTo === undefined) return found;
      if (searchedTo <= from) throw unreadable();
      from = searchedTo;
    }
  }

  async #ask<T extends Answer>(op: string, body?: object): Promise<T> {
    const answer = await ask<T>(this.#nc, this.#prefix + op, body, this.#timeoutMs, "no broker is there");
    if (answer.error !== undefined) throw new Error(answer.error.message ?? "the broker refused to answer");
    return answer;
  }
}

function stored(message: FoundAnswer["message"]): StoredMessage | undefined {
  if (message === undefined) throw unreadable();
  if (message === null) return undefined;
  return { seq: message.seq, publishId: message.publishId, digest: message.digest };
}

function unreadable(): Error {
  return new Error("the broker's answer cannot be read");
}
