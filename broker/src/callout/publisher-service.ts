import { type ErrorCode, STREAM } from "@kata/protocol/wire";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { TeamSecrets } from "../auth/team-secrets.ts";
import { Buckets } from "../limits/buckets.ts";
import type { Logger } from "../logger.ts";
import { PUBLISHER_PREFIX, type PublisherRequest, readPublisherRequest, teamOf } from "./publisher-requests.ts";
import { createReport } from "./report.ts";
import { createStoredMessages, type StoredMessages } from "./stored-messages.ts";

/** Of all brokers one answers. */
const QUEUE = "kata-publisher";
/** Questions that are worked on at a time, of a team and of all. */
const TEAM_AT_A_TIME = 8;
const ALL_AT_A_TIME = 32;
/** Questions of a team a second that are answered at all, if only with a refusal; twice as many at once. */
const TEAM_PER_SECOND = 500;

export interface PublisherServiceOptions {
  readonly nc: NatsConnection;
  readonly secrets: TeamSecrets;
  readonly logger: Logger;
  /** How long the stream may take to answer, milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Answers what publishers have to know and may not ask JetStream themselves, on `kata.publisher.<teamId>.<op>` [NATS-4]. That a
 * question came on a team's subject is the proof that the asker belongs to it: nats-server lets nobody else ask there.
 * An answer says nothing of other teams' messages; how far the log has come is that of all, and no secret.
 */
export async function servePublishers(options: PublisherServiceOptions): Promise<{ close(): void }> {
  const { nc, secrets, logger, timeoutMs } = options;
  const stored = await createStoredMessages(nc, timeoutMs);
  const report = createReport(logger);
  const busy = new Map<string, number>();
  const rates = new Buckets({ perSecond: TEAM_PER_SECOND, most: 2 * TEAM_PER_SECOND });
  let all = 0;

  const serve = async (msg: Msg): Promise<void> => {
    const read = readPublisherRequest(msg.subject, msg.data);
    if ("problem" in read) return refuse(msg, "bad_request", read.problem);
    const { teamId, request } = read;
    const own = busy.get(teamId) ?? 0;
    if (own >= TEAM_AT_A_TIME || all >= ALL_AT_A_TIME) return refuse(msg, "unavailable", "the broker is busy");
    busy.set(teamId, own + 1);
    all++;
    try {
      respond(msg, await answerTo(request, teamId, secrets, stored));
    } catch (error) {
      // The log or a bucket that cannot answer now: the publisher asks again.
      const why = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      report({ err: error, teamId, op: request.op }, "a publisher's question could not be answered");
      refuse(msg, "unavailable", why);
    } finally {
      all--;
      const left = (busy.get(teamId) ?? 1) - 1;
      if (left === 0) busy.delete(teamId);
      else busy.set(teamId, left);
    }
  };

  const subscription = nc.subscribe(`${PUBLISHER_PREFIX}>`, {
    queue: QUEUE,
    callback: (error, msg) => {
      // Beyond, silence: an answer would cost as much as what it refuses. Whoever asks rightly asks again.
      if (error === null && msg.reply && rates.take(teamOf(msg.subject), performance.now())) void serve(msg);
    },
  });
  return {
    close() {
      if (!nc.isClosed()) subscription.unsubscribe();
    },
  };
}

async function answerTo(
  request: PublisherRequest,
  teamId: string,
  secrets: TeamSecrets,
  stored: StoredMessages,
): Promise<object> {
  switch (request.op) {
    case "about": {
      const secret = await secrets.secretOf(teamId);
      return { teamId, stream: STREAM, idempotencySecret: Buffer.from(secret).toString("base64url") };
    }
    case "stream":
      return await stored.facts();
    case "find":
      return await stored.find(request.subject, request.messageId, request.afterSeq);
    case "at":
      return await stored.at(request.subject, request.messageId, request.seq);
  }
}

function refuse(msg: Msg, code: ErrorCode, message: string): void {
  respond(msg, { error: { code, message } });
}

function respond(msg: Msg, answer: object): void {
  msg.respond(JSON.stringify(answer));
}
