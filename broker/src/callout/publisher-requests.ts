import { isId, SUBJECT_PREFIX } from "@kata/protocol/wire";

/** What a publisher asks of the broker; its team is that of the subject it asks on. */
export type PublisherRequest =
  /** Who am I, and what do I need to publish? */
  | { readonly op: "about" }
  /** Which incarnation of the stream is it, and how far? */
  | { readonly op: "stream" }
  /** Where is the message with this id, of this subject, behind this sequence? */
  | { readonly op: "find"; readonly subject: string; readonly messageId: string; readonly afterSeq: number }
  /** Is the message with this id, of this subject, at this sequence, and who published it? */
  | { readonly op: "at"; readonly subject: string; readonly messageId: string; readonly seq: number };

export const PUBLISHER_PREFIX = "kata.publisher.";
/** No request is longer, bytes. */
const MAX_REQUEST = 4_096;
const MAX_MESSAGE_ID = 256;

/** Whether a subject is a channel of the team: no wildcard, nobody else's. */
export function isSubjectOf(teamId: string, subject: string): boolean {
  const own = `${SUBJECT_PREFIX}${teamId}`;
  if (subject === own) return true;
  if (!subject.startsWith(`${own}.`)) return false;
  const rest = subject.slice(own.length + 1);
  return rest !== "" && rest.split(".").every((token) => isId(token));
}

/** Whose question it is, by its subject alone; nats-server lets nobody else ask there. */
export function teamOf(subject: string): string {
  const end = subject.indexOf(".", PUBLISHER_PREFIX.length);
  return subject.slice(PUBLISHER_PREFIX.length, end < 0 ? undefined : end);
}

/** What is asked on `kata.publisher.<teamId>.<op>`, or what is wrong with it. */
export function readPublisherRequest(
  subject: string,
  body: Uint8Array,
): { readonly teamId: string; readonly request: PublisherRequest } | { readonly problem: string } {
  const [teamId, op, ...more] = subject.slice(PUBLISHER_PREFIX.length).split(".");
  if (!isId(teamId) || more.length > 0) return { problem: "ask on kata.publisher.<teamId>.<about|stream|find|at>" };
  if (op === "about" || op === "stream") return { teamId, request: { op } };
  if (op !== "find" && op !== "at") return { problem: "a publisher can ask about, stream, find and at" };
  const fields = parse(body);
  if (fields === undefined) return { problem: `${op} is asked with a JSON object of at most ${MAX_REQUEST} bytes` };
  const { messageId, seq, afterSeq, subject: channel } = fields;
  if (typeof messageId !== "string" || messageId === "" || messageId.length > MAX_MESSAGE_ID) {
    return { problem: `messageId is a string of 1 to ${MAX_MESSAGE_ID} characters` };
  }
  if (typeof channel !== "string" || !isSubjectOf(teamId, channel)) {
    return { problem: "subject is a channel's subject of the team" };
  }
  if (op === "at") {
    if (!isSequence(seq) || seq === 0) return { problem: "seq is a sequence of the stream" };
    return { teamId, request: { op, subject: channel, messageId, seq } };
  }
  if (!isSequence(afterSeq)) return { problem: "afterSeq is a sequence of the stream, or 0" };
  return { teamId, request: { op, subject: channel, messageId, afterSeq } };
}

function parse(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (body.length > MAX_REQUEST) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isSequence(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
