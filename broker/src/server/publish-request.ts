import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { isUtf8 } from "node:buffer";
import { parseEventId } from "@kata/protocol/wire";
import { NDJSON } from "./publish-json.ts";
import type { Attempt, Together } from "./publish-port.ts";
import { type Caller, callerOf, channelOf, codingProblem, lengthOf } from "./request.ts";
import type { SessionDeps } from "./session.ts";

/** A year: longer ago there was no attempt. */
const MAX_SINCE_MS = 366 * 86_400_000;

/** What the head of a publish says. */
export interface PublishRequest {
  readonly channel: string;
  readonly caller: Caller;
  /** The length of the body that it announces, bytes; `undefined` if none. */
  readonly length: number | undefined;
  /** Why the body cannot be read; `undefined` if it can. */
  readonly problem: string | undefined;
  /** Whether the body is a stream of events, one a line [HTTP-8]. */
  readonly isStream: boolean;
  /** Whether the client wants a line for each event [HTTP-9]. */
  readonly wantsLines: boolean;
  /** What `Idempotency-Key` and the headers that go with it say, or what is wrong with them [HTTP-10]. */
  readonly key: KeyHeaders | undefined | { readonly problem: string };
}

export interface KeyHeaders {
  readonly idempotencyKey: string;
  readonly publishId: string | undefined;
  /** When the first attempt was made, `performance.now()`; `undefined`: this is the first. */
  readonly since: number | undefined;
  readonly after: string | undefined;
}

/** Reads the head, which dies with its callback. */
export function readPublishRequest(res: HttpResponse, req: HttpRequest, { config }: SessionDeps): PublishRequest {
  return {
    channel: channelOf(req),
    caller: callerOf(res, req, config),
    length: lengthOf(req),
    problem: codingProblem(req),
    isStream: namesLines(req.getHeader("content-type")),
    wantsLines: namesLines(req.getHeader("accept")),
    key: readKeyHeaders(givenKeyHeaders(req), performance.now()),
  };
}

/** Those of a request's key headers that came. */
type GivenKeyHeaders = Partial<Record<(typeof KEY_HEADERS)[number], string>>;

const KEY_HEADERS = ["idempotency-key", "kata-idempotency-key", "kata-publish-id", "kata-attempt"] as const;

/** [HTTP-10] Each at most once, and not empty: which of two keys a client meant, or whether it meant one, cannot be known. */
function givenKeyHeaders(req: HttpRequest): GivenKeyHeaders | { readonly problem: string } {
  const given: GivenKeyHeaders = {};
  let problem: string | undefined;
  // getHeader gives the first of several, and the same for an empty one as for none.
  req.forEach((name, value) => {
    if (!isKeyHeader(name)) return;
    if (given[name] !== undefined) problem ??= `${name} is there more than once: send it once`;
    else if (value === "") problem ??= `${name} is empty: leave it out, or give it a value`;
    given[name] = value;
  });
  return problem === undefined ? given : { problem };
}

function isKeyHeader(name: string): name is (typeof KEY_HEADERS)[number] {
  return (KEY_HEADERS as readonly string[]).includes(name);
}

function readKeyHeaders(
  given: GivenKeyHeaders | { readonly problem: string },
  now: number,
): KeyHeaders | undefined | { readonly problem: string } {
  if ("problem" in given) return given;
  const {
    "idempotency-key": plain = "",
    "kata-idempotency-key": encodedKey = "",
    "kata-publish-id": publishId = "",
    "kata-attempt": attempt = "",
  } = given;
  if (plain !== "" && encodedKey !== "") return { problem: "give Idempotency-Key or Kata-Idempotency-Key, not both" };
  const key = encodedKey === "" ? plain : decodeKey(encodedKey);
  if (key === undefined) return { problem: "Kata-Idempotency-Key is the base64url of 1 to 128 characters in UTF-8" };
  if (key === "") {
    return publishId === "" && attempt === ""
      ? undefined
      : { problem: "Kata-Publish-Id and Kata-Attempt go with an Idempotency-Key" };
  }
  if (encodedKey === "" && !/^[\x21-\x7e]{1,128}$/.test(key)) {
    return { problem: "Idempotency-Key has 1 to 128 visible ASCII characters" };
  }
  if (publishId === "") {
    if (attempt !== "") return { problem: "Kata-Attempt goes with a Kata-Publish-Id" };
    return { idempotencyKey: key, publishId: undefined, since: undefined, after: undefined };
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(publishId)) return { problem: "Kata-Publish-Id is [A-Za-z0-9_-], 1 to 64" };
  if (attempt === "") return { idempotencyKey: key, publishId, since: undefined, after: undefined };
  const match = /^since=(\d{1,11})(?:; ?after=([^;\s]+))?$/.exec(attempt);
  const after = match?.[2];
  if (match === null || Number(match[1]) > MAX_SINCE_MS || (after !== undefined && parseEventId(after) === undefined)) {
    return { problem: "Kata-Attempt is since=<milliseconds>, and ; after=<eventId> where one is known" };
  }
  return { idempotencyKey: key, publishId, since: now - Number(match[1]), after };
}

/** Under which key events are one record, and what is known of earlier attempts at the time `now` (`performance.now()`). */
export function togetherOf({ publishId, since, after }: KeyHeaders, idempotencyKey: string, now: number): Together {
  if (publishId === undefined) return { idempotencyKey };
  const sinceMs = since === undefined ? 0 : Math.max(1, Math.round(now - since));
  const attempt: Attempt = { publishId, sinceMs, ...(after === undefined ? {} : { after }) };
  return { idempotencyKey, attempt };
}

function decodeKey(encoded: string): string | undefined {
  if (!/^[A-Za-z0-9_-]{1,1024}$/.test(encoded)) return undefined;
  const bytes = Buffer.from(encoded, "base64url");
  const key = isUtf8(bytes) ? bytes.toString("utf8") : "";
  return key.length >= 1 && key.length <= 128 ? key : undefined;
}

/** Whether one of a header's media types, whatever their parameters, is that of a stream of lines. */
function namesLines(header: string): boolean {
  const types: readonly string[] = NDJSON;
  return header.split(",").some((each) => types.includes((each.split(";")[0] ?? "").trim().toLowerCase()));
}
