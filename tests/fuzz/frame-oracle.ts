import { type CommandId, ERRORS, type InboundCommand, InboundCommandSchema } from "@kata/protocol";
import type { Tokens } from "./commands.ts";

/** The broker's limits, as it is started here. */
export const MAX_COMMAND_BYTES = 16 * 1024;
export const MAX_FRAME_BYTES = 16 * MAX_COMMAND_BYTES;
export const MAX_SUBSCRIPTIONS = 20;

/** What has to come back for a frame, exactly once. */
export interface Expected {
  /** Types of replies and codes of errors that are right; more than one only where the protocol leaves it open. */
  readonly answers: readonly string[];
  readonly id?: CommandId | undefined;
  /** The channel of a subscription command. */
  readonly channel?: string;
  readonly command?: InboundCommand;
}

/** What of the connection decides how a command is answered. */
export interface Standing {
  readonly tokens: Tokens;
  readonly subscribed: ReadonlySet<string>;
  readonly unanswered: Unanswered;
}

/** Commands that were sent and not answered, each about a channel of its own. */
export interface Unanswered {
  subscribe: number;
  unsubscribe: number;
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  subscribe: ["type", "channel", "lastEventId", "rewind", "id"],
  unsubscribe: ["type", "channel", "id"],
  ping: ["type", "id"],
  auth: ["type", "token", "id"],
};

/** What the protocol says about a whole text or binary frame [COMMAND-1] to [COMMAND-4]. */
export function expectedOf(payload: Buffer, isBinary: boolean, standing: Standing): Expected {
  if (isBinary) return { answers: ["binary_frame"] };
  if (payload.length > MAX_COMMAND_BYTES) return { answers: ["too_large"] };
  let json: unknown;
  try {
    json = JSON.parse(payload.toString("utf8"));
  } catch {
    return { answers: ["invalid_json"] };
  }
  const id = idOf(json);
  const parsed = InboundCommandSchema.safeParse(json);
  // The schema is the broker's own. That an unknown key is an error [COMMAND-1] is looked at again.
  if (!parsed.success || Object.keys(json as object).some((key) => !KEYS[parsed.data.type]?.includes(key))) {
    return { answers: ["invalid_command"], id };
  }
  const command = parsed.data;
  switch (command.type) {
    case "ping":
      return { answers: ["pong"], id, command };
    case "auth":
      return { answers: authAnswers(command.token, standing.tokens), id, command };
    case "unsubscribe": {
      const answer = standing.subscribed.has(command.channel) ? "unsubscribed" : "not_subscribed";
      return { answers: [answer], id, command, channel: command.channel };
    }
    case "subscribe":
      return { answers: subscribeAnswers(command.channel, standing), id, command, channel: command.channel };
  }
}

function subscribeAnswers(channel: string, { subscribed, unanswered }: Standing): string[] {
  if (subscribed.has(channel)) return ["already_subscribed"];
  const answer = channelAnswer(channel);
  // Which of two faults is named is open; and those that are not answered may yet fail.
  const surely = subscribed.size - unanswered.unsubscribe;
  if (surely >= MAX_SUBSCRIPTIONS && answer === "subscribed") return ["subscription_limit"];
  return subscribed.size + unanswered.subscribe >= MAX_SUBSCRIPTIONS ? ["subscription_limit", answer] : [answer];
}

/** [CHANNEL-1] [SUBSCRIBE-3]; the team owns every spec and agent. */
export function channelAnswer(channel: string): "subscribed" | "invalid_channel" | "forbidden" {
  if (!/^(team|spec|agent):[A-Za-z0-9_-]{1,128}$/.test(channel)) return "invalid_channel";
  return channel.startsWith("team:") && channel !== "team:demo" ? "forbidden" : "subscribed";
}

/** [AUTH-1] [AUTH-2] */
function authAnswers(token: string, { own, others, expired }: Tokens): string[] {
  if (token === own) return ["authenticated"];
  if (others.includes(token)) return ["forbidden"];
  if (token === expired) return ["token_expired"];
  // The last character of a signature has bits that say nothing: another text can be the same token.
  return token.split(".").length === 3 ? ["unauthenticated", "forbidden", "token_expired"] : ["unauthenticated"];
}

/** [COMMAND-2] */
function idOf(json: unknown): CommandId | undefined {
  if (typeof json !== "object" || json === null || !Object.hasOwn(json, "id")) return undefined;
  const { id } = json as { readonly id: unknown };
  if (typeof id === "string") return id.length >= 1 && id.length <= 128 ? id : undefined;
  return Number.isSafeInteger(id) ? (id as number) : undefined;
}

export function isErrorCode(answer: string): answer is keyof typeof ERRORS {
  return Object.hasOwn(ERRORS, answer);
}
