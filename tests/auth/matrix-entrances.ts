import { isDeepStrictEqual } from "node:util";
import { AuthorizationError, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { violationsOf } from "../nats/rig.ts";
import { connectRaw, RefusedUpgrade } from "../support/raw-client.ts";
import { APP, COOKIE, EVENT_OF_T1, type Kept } from "./matrix-rig.ts";

/** A credential as it travels; which of its ways there are differs. */
export interface Presented {
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
  /** For the command `auth`. */
  readonly token: string | undefined;
}

/** The ways in which a credential travels to a broker; `undefined` is none. */
export const WAYS = {
  "X-API-Key": (text) => presented(text, { "x-api-key": text ?? "" }),
  bearer: (text) => presented(text, { authorization: `Bearer ${text}` }),
  subprotocol: (text) => presented(text, {}, [`bearer.${text}`]),
  "cookie of a listed origin": (text) => presented(text, { cookie: `${COOKIE}=${text}`, origin: APP }),
  "cookie of another origin": (text) =>
    presented(text, { cookie: `${COOKIE}=${text}`, origin: "https://evil.example" }),
  "cookie without an origin": (text) => presented(text, { cookie: `${COOKIE}=${text}` }),
} as const satisfies Record<string, (text: string | undefined) => Presented>;

function presented(token: string | undefined, headers: Record<string, string>, protocols: string[] = []): Presented {
  return token === undefined ? { headers: {}, protocols: [], token } : { headers, protocols, token };
}

/** Where it is tried. */
export interface Target {
  readonly broker: { readonly httpUrl: string; readonly wsUrl: string };
  readonly kept: Kept;
  /** A channel of t1 that holds the event of t1. */
  readonly channel: string;
  /** Who opens the connection on which `auth` is tried. */
  readonly opener: Presented;
}

/** What becomes of somebody who comes in there. */
export type Attempt = (who: Presented) => Promise<string>;

export interface Entrance {
  /** Whether somebody who is let in leaves something in the log or in a bucket. */
  readonly writes: boolean;
  /** Makes what is to be changed or taken away: t1's, and never the same twice. */
  prepare(target: Target): Promise<Attempt> | Attempt;
}

const INPUT = JSON.stringify({ type: "log_entry", payload: { message: "m" } });

const reading = (attempt: (target: Target, who: Presented) => Promise<string>): Entrance => ({
  writes: false,
  prepare: (target) => (who) => attempt(target, who),
});

/** Where events are written and read. */
export const DATA_ENTRANCES: Readonly<Record<string, Entrance>> = {
  publish: {
    writes: true,
    prepare: (target) => (who) => request(target, who, "POST", `/v1/channels/${target.channel}/events`, INPUT),
  },
  "publish stream": {
    writes: true,
    prepare: (target) => (who) => {
      const headers = { ...who.headers, "content-type": "application/x-ndjson", accept: "application/x-ndjson" };
      return request(target, { ...who, headers }, "POST", `/v1/channels/${target.channel}/events`, `${INPUT}\n`);
    },
  },
  history: reading((target, who) => request(target, who, "GET", `/v1/channels/${target.channel}/events`)),
  stream: reading(openStream),
  ws: reading((target, who) => openSocket(target, who, who.protocols)),
  "ws kata.v1": reading((target, who) => openSocket(target, who, ["kata.v1", ...who.protocols])),
  "ws auth": reading(presentAgain),
};

/** Where keys, sessions and channels are administered. */
export const ADMIN_ENTRANCES: Readonly<Record<string, Entrance>> = {
  "POST keys": {
    writes: true,
    prepare: (target) => (who) => request(target, who, "POST", "/v1/keys", JSON.stringify({ scopes: ["publish"] })),
  },
  "GET keys": reading((target, who) => request(target, who, "GET", "/v1/keys")),
  "rotate key": {
    writes: true,
    async prepare(target) {
      const { keyId } = await target.kept.keys.create({ teamId: "t1", scopes: ["publish"] });
      return (who) => request(target, who, "POST", `/v1/keys/${keyId}/rotate`);
    },
  },
  "DELETE key": {
    writes: true,
    async prepare(target) {
      const { keyId } = await target.kept.keys.create({ teamId: "t1", scopes: ["publish"] });
      return (who) => request(target, who, "DELETE", `/v1/keys/${keyId}`);
    },
  },
  "POST sessions": {
    writes: true,
    prepare: (target) => (who) =>
      request(target, who, "POST", "/v1/sessions", JSON.stringify({ userId: "u", expiresAt: "2100-01-01T00:00:00Z" })),
  },
  "DELETE session": {
    writes: true,
    async prepare(target) {
      const user = { userId: "u", teamId: "t1", expiresAt: Date.now() + 3_600_000 };
      const sessionId = await target.kept.sessions.create(user);
      return (who) => request(target, who, "DELETE", `/v1/sessions/${sessionId}`);
    },
  },
  "PUT new channel": {
    writes: true,
    prepare: (target) => (who) => request(target, who, "PUT", `/v1/channels/agent:${crypto.randomUUID()}`),
  },
  "PUT channel of t1": reading((target, who) => request(target, who, "PUT", "/v1/channels/spec:s1")),
  "DELETE channel": {
    writes: true,
    async prepare(target) {
      const channel = `spec:${crypto.randomUUID()}`;
      await target.kept.channels.register("t1", channel);
      return (who) => request(target, who, "DELETE", `/v1/channels/${channel}`);
    },
  },
};

/** Whether an outcome says that somebody came through. */
const LET_IN = /^(2\d\d|ok$|authenticated)/;

/** Tries an entrance, and says so if it left something where it must not, or nothing where it must. */
export async function enter(entrance: Entrance, target: Target, who: Presented): Promise<string> {
  const attempt = await entrance.prepare(target);
  return await watched(target.kept, entrance.writes, () => attempt(who));
}

/**
 * Tries several entrances at the same time, for somebody who is let in through none: none of them may leave anything.
 */
export async function enterAll(
  entrances: readonly Entrance[],
  target: Target,
  who: Presented,
): Promise<readonly string[]> {
  const attempts: Attempt[] = [];
  for (const entrance of entrances) attempts.push(await entrance.prepare(target));
  const before = await target.kept.stored();
  const outcomes = await Promise.all(attempts.map((attempt) => attempt(who)));
  if (isDeepStrictEqual(await target.kept.stored(), before)) return outcomes;
  return outcomes.map((outcome) => `${outcome}, but something was stored in this row`);
}

/** The outcome of an attempt, and what it did besides, where that is wrong. */
export async function watched(kept: Kept, writes: boolean, attempt: () => Promise<string>): Promise<string> {
  const before = await kept.stored();
  const outcome = await attempt();
  const changed = !isDeepStrictEqual(await kept.stored(), before);
  if (changed === (writes && LET_IN.test(outcome))) return outcome;
  return `${outcome}, but something was ${changed ? "" : "not "}stored`;
}

/** The status, with the error's code or the team that it was done for. */
async function request(
  { broker }: Target,
  { headers }: Presented,
  method: string,
  path: string,
  body?: string,
): Promise<string> {
  const response = await fetch(broker.httpUrl + path, { method, headers, body: body ?? null });
  // A line for each event, and one for all.
  if (response.headers.get("content-type") === "application/x-ndjson") {
    return `${response.status}${/^\{"index":0,"eventId".*\n\{"published":1,/.test(await response.text()) ? "" : " without a result"}`;
  }
  return outcomeOf(response.status, await response.text(), path.endsWith("/events") && method === "GET");
}

function outcomeOf(status: number, text: string, mustHaveEvent = false): string {
  if (status === 204) return "204";
  const body = JSON.parse(text) as Record<string, unknown> & { error?: { code: string } };
  if (status >= 300) return `${status} ${body.error?.code}${leakOf(text)}`;
  if (mustHaveEvent && !text.includes(EVENT_OF_T1)) return `${status} without the event`;
  const teams = [...new Set(text.match(/"teamId":"[^"]*"/g))].map((each) => each.slice('"teamId":"'.length, -1));
  return [status, ...teams.sort()].join(" ");
}

/** A refusal that says more than it may. */
function leakOf(text: string): string {
  return text.includes(EVENT_OF_T1) || /"(teamId|keyId|keys|channels)"|kat_|kss_/.test(text)
    ? `, but says ${text}`
    : "";
}

/** A stream that opens has to hand over the event. */
async function openStream({ broker, channel }: Target, { headers }: Presented): Promise<string> {
  const response = await fetch(`${broker.httpUrl}/v1/channels/${channel}/stream?rewind=all`, { headers });
  if (response.status !== 200 || response.body === null) return outcomeOf(response.status, await response.text());
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes(EVENT_OF_T1)) return "200";
  }
  return "200 without the event";
}

/** A WebSocket that opens has to hand over the event; one that is closed says with which code. */
async function openSocket(
  { broker, channel }: Target,
  { headers }: Presented,
  protocols: readonly string[],
): Promise<string> {
  try {
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, headers, protocols: [...protocols] });
    socket.send({ type: "subscribe", channel, rewind: "all" });
    const answer = await socket.next(({ type }) => type === "error" || type === "log_entry");
    if (answer.type === "log_entry") return socket.frames.join().includes(EVENT_OF_T1) ? "ok" : "without the event";
    const { code, channel: named } = answer.payload as { code: string; channel?: string };
    const ending = named === undefined ? String((await socket.closed).code) : "error";
    return `${ending} ${code}${leakOf(socket.frames.join())}`;
  } catch (error) {
    if (error instanceof RefusedUpgrade) return outcomeOf(error.status, JSON.stringify(error.body));
    throw error;
  }
}

/** [AUTH-1] On a connection that somebody else's right credential has opened, and which it keeps. */
async function presentAgain({ broker, opener }: Target, { token }: Presented): Promise<string> {
  const { headers, protocols } = opener;
  await using socket = await connectRaw({ wsUrl: broker.wsUrl, headers: { ...headers }, protocols: [...protocols] });
  socket.send({ type: "auth", token });
  const answer = await socket.next(({ type }) => type === "error" || type === "authenticated");
  socket.send({ type: "ping" });
  await socket.nextOf("pong");
  const { code, teamId } = answer.payload as { code?: string; teamId?: string };
  return answer.type === "error" ? `error ${code}` : `authenticated ${teamId}`;
}

/** What becomes of somebody at NATS; `undefined` was not let in. */
export type NatsAttempt = (nc: NatsConnection, kept: Kept) => Promise<string>;

export interface NatsEntrance {
  readonly writes: boolean;
  readonly attempt: NatsAttempt;
}

/** What can be asked of nats-server, of t1's things. */
export const NATS_ENTRANCES: Readonly<Record<string, NatsEntrance>> = {
  "NATS publish": { writes: true, attempt: (nc) => ask(nc, "kata.team.t1.spec.s1", INPUT) },
  "NATS ask": { writes: false, attempt: (nc) => ask(nc, "kata.publisher.t1.about", "") },
  "NATS subscribe": { writes: true, attempt: (nc, kept) => read(nc, kept, "kata.team.t1.spec.s1") },
  "live feed": { writes: true, attempt: (nc, kept) => read(nc, kept, "live.kata.team.t1.>") },
  "KV write": { writes: true, attempt: (nc) => ask(nc, "$KV.KATA_CHANNELS.spec.mine", "t1") },
  "KV read": {
    writes: false,
    attempt: (nc) => ask(nc, "$JS.API.STREAM.MSG.GET.KV_KATA_KEYS", '{"last_by_subj":"$KV.KATA_KEYS.>"}'),
  },
  "stream API": { writes: false, attempt: (nc) => ask(nc, "$JS.API.STREAM.INFO.KATA", "") },
};

/** Connects as somebody; nobody if it is refused. */
export async function knockAs(connecting: Promise<NatsConnection>): Promise<NatsConnection | undefined> {
  try {
    return await connecting;
  } catch (error) {
    if (error instanceof AuthorizationError) return undefined;
    throw error;
  }
}

/** Sends a request; it is let in if it is answered with what it asked for. */
async function ask(nc: NatsConnection, subject: string, body: string): Promise<string> {
  const refused = violationsOf(nc);
  const violation = new Promise<string>((resolve) => {
    const look = setInterval(() => {
      if (refused.length > 0) resolve("permissions violation");
      if (refused.length > 0 || nc.isClosed()) clearInterval(look);
    }, 5);
    look.unref();
  });
  const answer = nc.request(subject, body, { timeout: 5_000 }).then(
    (msg) => (/"error"/.test(msg.string()) ? `answered ${msg.string()}` : "ok"),
    (error: unknown) => {
      if (error instanceof PermissionViolationError || (error as Error).cause instanceof PermissionViolationError) {
        return "permissions violation";
      }
      return violation;
    },
  );
  return await Promise.race([answer, violation]);
}

/** Subscribes while t1 publishes; it is let in if it hears of that. */
async function read(nc: NatsConnection, kept: Kept, subject: string): Promise<string> {
  let heard = 0;
  let refused = false;
  const subscription = nc.subscribe(subject, {
    callback: (error) => {
      if (error instanceof PermissionViolationError) refused = true;
      else heard++;
    },
  });
  await nc.flush();
  if (!refused) await kept.seed("kata.team.t1.spec.s1");
  await nc.flush();
  if (!refused) subscription.unsubscribe();
  return refused && heard === 0 ? "permissions violation" : heard > 0 ? "ok" : "let in, and heard nothing";
}
