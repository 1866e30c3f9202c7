import {
  CLOSE,
  type CloseCode,
  type CommandId,
  ERRORS,
  type ErrorCode,
  type InboundCommand,
  NO_POSITION,
} from "@kata/protocol";
import type { ChannelAccess } from "../auth/adapters.ts";
import { type Authorization, authorizeChannel } from "../auth/authorize-channel.ts";
import { mayDo, mayUse, type Principal, samePrincipal } from "../auth/principal.ts";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";
import type { Revocation } from "../auth/revocation.ts";
import type { BrokerConfig } from "../config.ts";
import { encodeControl } from "../delivery/control.ts";
import type { Delivery } from "../delivery/delivery.ts";
import type { Framing } from "../delivery/framing.ts";
import type { StartWish } from "../delivery/locate.ts";
import { ORIGIN, positionId } from "../delivery/position.ts";
import type { Reader, Subscription } from "../delivery/subscription.ts";
import type { EventLog } from "../log/event-log.ts";
import type { Logger } from "../logger.ts";
import { authenticate, lookAgain } from "./authenticate.ts";
import type { Connection } from "./connection.ts";
import { ErrorsPerMinute } from "./errors-per-minute.ts";
import { Lease } from "./lease.ts";
import { CommandRate } from "./limits/command-rate.ts";
import type { Limits } from "./limits/limits.ts";
import { parseCommand } from "./parse-command.ts";
import { EXPLAINED, errorPayload } from "./wire-error.ts";

/** What a session sees of its socket. Nothing throws, whatever state the socket is in. */
export interface SessionSocket extends Reader {
  ping(): void;
  /** Closes it; at most 123 bytes of reason. */
  end(code: CloseCode, reason: string): void;
}

/** What all sessions share. */
export interface SessionDeps {
  readonly config: BrokerConfig;
  readonly delivery: Delivery;
  readonly log: EventLog;
  readonly access: ChannelAccess;
  readonly resolve: (credentials: Credentials) => Promise<Resolution>;
  /** What was revoked at this time (`performance.now()`) or later; as far back as anybody can be on his way in. */
  readonly revokedSince: (at: number) => readonly Revocation[];
  /** As {@link authorizeChannel} says; each team has its share of what is asked at a time. */
  readonly authorize: (channel: string, principal: Principal) => Promise<Authorization>;
  /** Whether a channel may have another owner than it had at this time (`performance.now()`); as far back as an answer takes. */
  readonly ownerChangedSince: (channel: string, at: number) => boolean;
  readonly limits: Limits;
  readonly onAdapterError: (adapter: string, error: unknown) => void;
  readonly logger: Logger;
}

/** A place taken by a channel: empty while it is being authorized, so that limits hold and an unsubscribe finds it. */
interface Slot {
  subscription?: Subscription;
}

type Command<T extends InboundCommand["type"]> = Extract<InboundCommand, { type: T }>;

const FORBIDDEN: Authorization = { errorCode: "forbidden" };

const NOWHERE = { epoch: "", position: ORIGIN };

/** A client that asks on and on and reads no answer is sent away at so many bytes of answers. */
const MAX_UNREAD_REPLIES = 1024 * 1024;

/** One authenticated connection: its commands, its subscriptions, its heartbeat. */
export class Session implements Connection {
  readonly transport = "websocket";
  readonly #socket: SessionSocket;
  readonly #deps: SessionDeps;
  readonly #address: string;
  readonly #framing: Framing;
  readonly #slots = new Map<string, Slot>();
  readonly #errors: ErrorsPerMinute;
  readonly #rate: CommandRate;
  readonly #lease: Lease;
  #closed = false;
  #heardAt = performance.now();
  #pingedAt = performance.now();
  /** When the socket last took bytes, or had none to take. */
  #movedAt = performance.now();
  #turn = 0;
  /** Bytes of replies that were sent since the socket last held little. */
  #unreadReplies = 0;

  /** @param address what limits count it by */
  constructor(socket: SessionSocket, principal: Principal, address: string, framing: Framing, deps: SessionDeps) {
    this.#socket = socket;
    this.#address = address;
    this.#lease = new Lease(principal);
    this.#framing = framing;
    this.#deps = deps;
    const { maxErrorsPerMinute, maxCommandsPerSecond, maxSubscriptionsPerConnection } = deps.config;
    this.#errors = new ErrorsPerMinute(maxErrorsPerMinute);
    this.#rate = new CommandRate(
      { perSecond: maxCommandsPerSecond, besides: maxSubscriptionsPerConnection },
      performance.now(),
    );
  }

  /** A frame came in. */
  receive(data: ArrayBuffer, isBinary: boolean): void {
    this.heard();
    const parsed = parseCommand(data, isBinary, this.#deps.config.maxCommandBytes);
    // What is no command has a limit of its own [COMMAND-5].
    if ("command" in parsed) return this.#mayGoOn(parsed.command) ? this.#perform(parsed.command) : undefined;
    const { code, message, id } = parsed.misunderstood;
    this.#refuse(code, message, { id });
  }

  /** A ping was answered by the WebSocket layer, whether that is read or not. */
  pinged(): void {
    this.heard();
    this.#mayGoOn(undefined);
  }

  /** Anything at all came from the other side. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  /** The socket took bytes: a sign of life too, from a reader that is slow. */
  drained(): void {
    this.heard();
    this.#movedAt = this.#heardAt;
    // What the socket takes now goes to the first that has something to send: each is the first in its turn.
    const slots = [...this.#slots.values()];
    const first = slots.length === 0 ? 0 : this.#turn++ % slots.length;
    for (const slot of [...slots.slice(first), ...slots.slice(0, first)]) slot.subscription?.drained();
  }

  buffered(): number {
    return this.#socket.buffered();
  }

  /** Called often: pings, and ends a connection that is dead, stuck, or whose credentials have ended. */
  beat(now: number): void {
    this.#honourLease();
    if (this.#closed) return;
    const { heartbeatIntervalMs, heartbeatTimeoutMs, stallTimeoutMs } = this.#deps.config;
    if (this.#socket.buffered() === 0) this.#movedAt = now;
    if (now - this.#heardAt > heartbeatTimeoutMs) {
      return this.end(CLOSE.heartbeatTimeout, `heartbeat timeout: nothing heard for ${heartbeatTimeoutMs} ms`);
    }
    if (now - this.#movedAt > stallTimeoutMs) {
      return this.end(CLOSE.noProgress, `no progress: nothing was read for ${stallTimeoutMs} ms`);
    }
    const held = this.#socket.buffered();
    const pingEveryMs =
      held === 0 ? heartbeatIntervalMs : Math.min(heartbeatIntervalMs, heartbeatTimeoutMs / 4, stallTimeoutMs / 4);
    if (now - this.#pingedAt < pingEveryMs) return;
    this.#pingedAt = now;
    this.#socket.ping();
    // A ping makes the socket try to send what it holds. The system tells by itself only when a third of its own buffer is
    // free, which takes a slow reader minutes; that it took anything at all is progress.
    if (held > 0 && this.#socket.buffered() <= held) this.drained();
  }

  revoked(revocation: Revocation): void {
    if (this.#lease.revoke(revocation)) this.#honourLease();
  }

  ownerChanged(channel: string): void {
    const slot = this.#slots.get(channel);
    if (slot?.subscription !== undefined) this.#later(this.#reauthorize(channel, slot), { channel }, slot);
  }

  /** [CLOSE-3] Says when to come back, then closes. */
  dismiss(afterMs: number): void {
    this.#socket.send(encodeControl("reconnect", { afterMs }));
    this.end(CLOSE.restarting, "the broker is restarting");
  }

  end(code: CloseCode, reason: string): void {
    if (this.#closed) return;
    this.#deps.logger.debug({ code, teamId: this.#principal.teamId }, `closing a connection: ${reason}`);
    this.closed();
    this.#socket.end(code, reason);
  }

  /** The socket is gone: nothing of the session stays. */
  closed(): void {
    this.#closed = true;
    for (const slot of this.#slots.values()) this.#release(slot);
    this.#slots.clear();
  }

  get #principal(): Principal {
    return this.#lease.principal;
  }

  /** [AUTH-3] */
  #honourLease(): void {
    if (this.#closed) return;
    const due = this.#lease.due(Date.now());
    switch (due?.what) {
      case "warn":
        return this.#reply(
          encodeControl("error", {
            ...errorPayload("token_expiring", EXPLAINED.token_expiring),
            expiresAt: new Date(due.endsAt).toISOString(),
          }),
        );
      case "expired":
        this.#reply(encodeControl("error", errorPayload("token_expired", EXPLAINED.token_expired)));
        return this.end(CLOSE.tokenExpired, "the credentials have expired");
      case "revoked":
        return this.end(CLOSE.revoked, "the credentials were revoked");
    }
  }

  /** [ERROR-3] */
  async #reauthorize(channel: string, slot: Slot): Promise<void> {
    const { access, onAdapterError } = this.#deps;
    const { subject, errorCode } = await authorizeChannel(channel, this.#principal, access, onAdapterError);
    if (this.#slots.get(channel) === slot && subject === undefined)
      this.#end(channel, slot, errorCode, EXPLAINED[errorCode]);
  }

  /** [ERROR-3] No command has failed: it is not counted as one. */
  #end(channel: string, slot: Slot, code: ErrorCode, message: string): void {
    this.#slots.delete(channel);
    this.#release(slot);
    this.#reply(encodeControl("error", errorPayload(code, message, { channel })));
  }

  /** [COMMAND-6] Whether one more command, or ping, is not one too many; `command` is answered if it is. */
  #mayGoOn(command: InboundCommand | undefined): boolean {
    const verdict = this.#rate.next(this.#heardAt);
    if (verdict === "allowed") return true;
    this.#deps.limits.count("commands", { teamId: this.#principal.teamId });
    const reason = `more than ${this.#deps.config.maxCommandsPerSecond} commands a second`;
    if (command !== undefined) this.#refuse("rate_limited", `${reason}: slow down`, command);
    if (verdict === "abusive") this.end(CLOSE.tooMuch, reason);
    return false;
  }

  #perform(command: InboundCommand): void {
    switch (command.type) {
      case "subscribe":
        return this.#subscribe(command);
      case "unsubscribe":
        return this.#unsubscribe(command);
      case "ping":
        return this.#ping(command);
      case "auth":
        return this.#later(this.#authenticate(command), { id: command.id });
    }
  }

  #subscribe(command: Command<"subscribe">): void {
    const { channel } = command;
    const { config } = this.#deps;
    if (this.#slots.has(channel)) {
      return this.#refuse(
        "already_subscribed",
        `${channel} is subscribed on this connection: unsubscribe first`,
        command,
      );
    }
    if (this.#slots.size >= config.maxSubscriptionsPerConnection) {
      const limit = config.maxSubscriptionsPerConnection;
      return this.#refuse(
        "subscription_limit",
        `a connection has at most ${limit} subscriptions: unsubscribe one, or open another connection`,
        command,
      );
    }
    if (!mayDo(this.#principal, "subscribe")) return this.#refuse("forbidden", EXPLAINED.scope, command);
    const slot: Slot = {};
    this.#slots.set(channel, slot);
    this.#later(this.#open(command, slot), command, slot);
  }

  async #open(command: Command<"subscribe">, slot: Slot): Promise<void> {
    const { channel, id } = command;
    const { delivery, authorize, ownerChangedSince } = this.#deps;
    let authorization: Authorization;
    let since: number;
    do {
      since = performance.now();
      authorization = await authorize(channel, this.#principal);
      // Unsubscribed, or gone, in the meantime: that was answered already.
      if (this.#slots.get(channel) !== slot) return;
    } while (ownerChangedSince(channel, since));
    // [AUTH-1] can have brought other credentials.
    const { subject, errorCode } = this.#mayRead(channel) ? authorization : FORBIDDEN;
    if (errorCode !== undefined) {
      this.#slots.delete(channel);
      return this.#refuse(errorCode, EXPLAINED[errorCode], command);
    }
    const subscription = delivery.subscribe({
      channel,
      subject,
      reader: this.#socket,
      framing: this.#framing,
      onDefect: (error) => {
        this.#deps.logger.error({ err: error, channel }, "a subscription failed");
        if (this.#slots.get(channel) === slot) this.#slots.delete(channel);
        this.#release(slot);
        this.#refuse("internal", "the subscription failed: subscribe again", { channel });
      },
    });
    slot.subscription = subscription;
    subscription.start(startOf(command), id);
  }

  #unsubscribe(command: Command<"unsubscribe">): void {
    const { channel, id } = command;
    const slot = this.#slots.get(channel);
    if (slot === undefined)
      return this.#refuse("not_subscribed", `${channel} is not subscribed on this connection`, command);
    this.#slots.delete(channel);
    const eventId = this.#release(slot);
    this.#reply(
      encodeControl(
        "unsubscribed",
        id === undefined ? {} : { id },
        eventId === undefined ? { channel } : { channel, eventId },
      ),
    );
  }

  /** [PING-1] The oldest of the places up to which the subscriptions have been sent everything. */
  #ping(command: Command<"ping">): void {
    const places = [...this.#slots.values()].flatMap(({ subscription }) => subscription?.sentUpTo ?? []);
    const oldest = places.reduce((a, b) => (b.position.seq < a.position.seq ? b : a), places[0] ?? NOWHERE);
    // Places of two lives of the log cannot be compared.
    const known = oldest.position.seq > 0 && places.every(({ epoch }) => epoch === oldest.epoch);
    const eventId = known ? positionId(oldest.epoch, oldest.position) : NO_POSITION;
    this.#reply(encodeControl("pong", command.id === undefined ? {} : { id: command.id }, { eventId }));
  }

  async #authenticate(command: Command<"auth">): Promise<void> {
    const { token } = command;
    const known = await authenticate(
      { credentials: { token }, address: this.#address, foreignOrigin: false },
      this.#deps,
    );
    if (this.#closed) return;
    // Word of what was taken back can have come between that answer and now.
    const { principal, refused } = known.refused === undefined ? lookAgain(known, this.#deps) : known;
    if (refused !== undefined) return this.#refuse(refused.code, refused.message, command);
    if (!samePrincipal(principal, this.#principal)) {
      return this.#refuse("forbidden", "these credentials are somebody else's: open a new connection with them", {
        id: command.id,
      });
    }
    this.#lease.renew(principal);
    const payload = {
      teamId: principal.teamId,
      ...(principal.expiresAt === undefined ? {} : { expiresAt: new Date(principal.expiresAt).toISOString() }),
      ...(command.id === undefined ? {} : { id: command.id }),
    };
    this.#reply(encodeControl("authenticated", payload));
    // What is being looked up finds out by itself.
    for (const [channel, slot] of [...this.#slots]) {
      if (slot.subscription === undefined || this.#mayRead(channel)) continue;
      this.#end(channel, slot, "forbidden", EXPLAINED.forbidden);
    }
  }

  /** Whether the credentials are for reading it, whoever owns it. */
  #mayRead(channel: string): boolean {
    return mayDo(this.#principal, "subscribe") && mayUse(this.#principal, channel);
  }

  #reply(frame: Buffer): void {
    if (this.#socket.buffered() < this.#deps.config.highWaterBytes) this.#unreadReplies = 0;
    this.#unreadReplies += frame.length;
    if (this.#unreadReplies > MAX_UNREAD_REPLIES) return this.end(CLOSE.tooMuch, "more answers than are read");
    this.#socket.send(frame);
  }

  #release(slot: Slot): string | undefined {
    const { subscription } = slot;
    return subscription && this.#deps.delivery.end(subscription);
  }

  /** [COMMAND-3] Answers a command that failed; too many of them cost the connection [COMMAND-5]. */
  #refuse(
    code: ErrorCode,
    message: string,
    about: { id?: CommandId | undefined; channel?: string | undefined } = {},
  ): void {
    if (this.#closed) return;
    this.#reply(encodeControl("error", errorPayload(code, message, about)));
    if (ERRORS[code].retryable || !this.#errors.exceededBy(performance.now())) return;
    const limit = this.#deps.config.maxErrorsPerMinute;
    const reason = `more than ${limit} failed commands within a minute`;
    this.#reply(encodeControl("error", errorPayload("too_many_errors", `${reason}: mend the client`)));
    this.end(CLOSE.tooMuch, reason);
  }

  /** @param slot the place that the work is about, if it still is the channel's */
  #later(work: Promise<void>, about: { id?: CommandId | undefined; channel?: string | undefined }, slot?: Slot): void {
    work.catch((error: unknown) => {
      this.#deps.logger.error({ err: error }, "a command failed");
      if (slot !== undefined && about.channel !== undefined) {
        // Unsubscribed in the meantime, and perhaps subscribed again: that was answered already.
        if (this.#slots.get(about.channel) !== slot) return;
        this.#slots.delete(about.channel);
        this.#release(slot);
      }
      this.#refuse("internal", "the command failed: try again", about);
    });
  }
}

function startOf(command: Command<"subscribe">): StartWish {
  if (command.lastEventId !== undefined) return { kind: "after", eventId: command.lastEventId };
  if (command.rewind !== undefined) return { kind: "rewind", rewind: command.rewind };
  return { kind: "now" };
}
