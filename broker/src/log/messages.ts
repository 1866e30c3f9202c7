import { checkOf, STREAM } from "@kata/protocol/wire";
import type { Msg } from "@nats-io/transport-node";
import type { HeadRecord, LiveRecord, StoredRecord } from "./event-log.ts";
import { HeaderBlock, headersOf } from "./header-block.ts";

/** The publisher's own id comes first; an empty one counts as none, as it does for JetStream. */
function checkFrom(headers: HeaderBlock, data: Uint8Array): string {
  const id = headers.first("Nats-Msg-Id");
  return checkOf(id === "" ? data : id);
}

function recordFrom(headers: HeaderBlock, data: Uint8Array): StoredRecord | undefined {
  const seq = headers.lastNumber("Nats-Sequence");
  if (seq === undefined) return undefined;
  return { seq, subject: headers.last("Nats-Subject"), check: checkFrom(headers, data), data };
}

/**
 * What a direct get answers with: a record, or a status that ends the answer. In an answer of several pieces `after` is the
 * sequence of the piece before, 0 for the first.
 */
export type DirectAnswer =
  | {
      readonly record: StoredRecord;
      readonly pending: number;
      readonly after: number | undefined;
      readonly status?: undefined;
    }
  | {
      readonly record?: undefined;
      readonly after: number | undefined;
      readonly status: number;
      readonly description: string;
      /** Records of the asked subjects that stand behind this answer. */
      readonly pending: number;
      /** Up to which sequence the one who answered has looked; `undefined` if it does not say. */
    };

export function directAnswerOf(msg: Msg): DirectAnswer {
  const headers = headersOf(msg);
  const pending = headers.lastNumber("Nats-Num-Pending") ?? 0;
  // The status line of a record is whatever its publisher wrote. What the server says for itself has no sequence.
  const record = recordFrom(headers, msg.data);
  const after = headers.lastNumber("Nats-Last-Sequence");
  if (record !== undefined) return { record, pending, after };
  const { status, description } = headers;
  return { status: status ?? 500, description, pending, after };
}

/** A message that the stream republished, or `undefined` if it is not one. */
export function liveRecordOf(msg: Msg): LiveRecord | undefined {
  const headers = headersOf(msg);
  const stored = recordFrom(headers, msg.data);
  const prevSeq = headers.lastNumber("Nats-Last-Sequence");
  return stored === undefined || prevSeq === undefined ? undefined : { ...stored, prevSeq };
}

/** A message as the leader's JSON API gives it, with headers and data in base64. */
export interface ApiMessage {
  readonly seq: number;
  readonly subject: string;
  readonly hdrs?: string;
  readonly data?: string;
  readonly time?: string;
}

export function storedRecordOfApi(message: ApiMessage): HeadRecord {
  const data = Buffer.from(message.data ?? "", "base64");
  const headers = new HeaderBlock(continued(Buffer.from(message.hdrs ?? "", "base64")));
  const storedAtMs = Date.parse(message.time ?? "");
  return { seq: message.seq, subject: message.subject, check: checkFrom(headers, data), data, storedAtMs };
}

/**
 * Stored headers as every other answer shows them: there the server goes on in the place of their last two bytes, which
 * need not be an end of line. A message id that stands there becomes another one, and must do so for everybody.
 */
function continued(block: Buffer): Buffer {
  if (block.length <= 2) return block;
  return Buffer.concat([block.subarray(0, -2), Buffer.from(`Nats-Stream: ${STREAM}\r\n`)]);
}
