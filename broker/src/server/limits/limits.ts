import type { Principal } from "../../auth/principal.ts";
import type { BrokerConfig } from "../../config.ts";
import { Buckets } from "../../limits/buckets.ts";
import { Places } from "../../limits/places.ts";
import type { Logger } from "../../logger.ts";
import type { Refusal } from "../refusal.ts";

/** A connection's place among all; to be given back once, when the connection is gone. */
export interface Place {
  leave(): void;
}

/** The limits, each with the setting that moves it. */
const SETTINGS = {
  connections: "WS_MAX_CONNECTIONS",
  connections_per_address: "WS_MAX_CONNECTIONS_PER_ADDRESS",
  connections_per_principal: "WS_MAX_CONNECTIONS_PER_PRINCIPAL",
  new_connections: "KATA_MAX_NEW_CONNECTIONS_PER_SECOND",
  failed_auths: "KATA_MAX_FAILED_AUTHS_PER_MINUTE",
  authentications: "KATA_MAX_AUTHENTICATIONS",
  commands: "WS_MAX_COMMANDS_PER_SECOND",
  requests: "HTTP_MAX_REQUESTS_PER_SECOND",
  publish_bytes: "HTTP_MAX_PUBLISH_BYTES_PER_SECOND",
  bodies: "HTTP_MAX_BODIES_BYTES",
} as const;
export type LimitName = keyof typeof SETTINGS;

export type LimitRefusal = Refusal<"rate_limited" | "unavailable">;

export type LimitSettings = Pick<
  BrokerConfig,
  | "maxConnections"
  | "maxConnectionsPerAddress"
  | "maxConnectionsPerPrincipal"
  | "maxNewConnectionsPerSecond"
  | "maxFailedAuthsPerMinute"
  | "maxAuthentications"
  | "maxRequestsPerSecond"
  | "maxPublishBytesPerSecond"
  | "maxBodiesBytes"
>;

/** New connections of so many seconds may come at once: everybody behind one address comes back together. */
const NEW_CONNECTIONS_BURST_S = 10;
/** What a publisher saved up, seconds' worth. */
const PUBLISH_BURST_S = 2;
/** An outage is over soon, or not: nobody knows. */
const OVERLOAD_RETRY_MS = 1_000;
/** Whoever operates the broker is told of a limit that refuses at most so often. */
const TOLD_EVERY_MS = 60_000;
/** One principal may have so much of the room for bodies: an eighth. */
const SHARES = 8;
/** The one key of what is counted in all. */
const ALL = "";

/**
 * What one address or principal, or all together, may take [LIMIT-1]. What it remembers is bounded, whoever comes.
 * An address is the key that it is counted by, see `addressKey`.
 */
export class Limits {
  /** How often each limit refused, since the start. */
  readonly refusals: Readonly<Record<LimitName, number>>;
  readonly #counts: Record<LimitName, number>;
  readonly #settings: LimitSettings;
  readonly #logger: Logger;
  readonly #all: Places;
  readonly #byAddress: Places;
  readonly #byPrincipal: Places;
  readonly #arrivals: Buckets;
  readonly #failures: Buckets;
  readonly #requests: Buckets;
  readonly #bytes: Buckets;
  readonly #told = new Map<LimitName, number>();
  #authenticating = 0;
  #bodies = 0;
  readonly #bodiesOf = new Map<string, number>();

  constructor(settings: LimitSettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
    this.#counts = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, 0])) as Record<LimitName, number>;
    this.refusals = this.#counts;
    this.#all = new Places(settings.maxConnections);
    this.#byAddress = new Places(settings.maxConnectionsPerAddress);
    this.#byPrincipal = new Places(settings.maxConnectionsPerPrincipal);
    this.#arrivals = perSecond(settings.maxNewConnectionsPerSecond, NEW_CONNECTIONS_BURST_S);
    this.#failures = perSecond(settings.maxFailedAuthsPerMinute / 60, 60);
    this.#requests = perSecond(settings.maxRequestsPerSecond, PUBLISH_BURST_S);
    this.#bytes = perSecond(settings.maxPublishBytesPerSecond, PUBLISH_BURST_S);
  }

  /** A connection wants to open, and nobody knows whose. Asked before anything is spent on it. */
  arrive(address: string): LimitRefusal | undefined {
    const now = performance.now();
    if (!this.#arrivals.take(address, now)) {
      return this.#refuse("new_connections", "too many new connections from your address", {
        address,
        retryAfterMs: this.#arrivals.waitMs(address, now),
      });
    }
    return this.#crowded(address);
  }

  /** Takes a place for a connection that may open. */
  enter(address: string, principal: Principal): Place | LimitRefusal {
    const refused = this.#crowded(address);
    if (refused !== undefined) return refused;
    const who = principalKey(principal);
    if (this.#byPrincipal.full(who)) {
      return this.#refuse("connections_per_principal", "too many connections with these credentials", {
        teamId: principal.teamId,
      });
    }
    this.#all.take(ALL);
    this.#byAddress.take(address);
    this.#byPrincipal.take(who);
    return {
      leave: () => {
        this.#all.leave(ALL);
        this.#byAddress.leave(address);
        this.#byPrincipal.leave(who);
      },
    };
  }

  /** Runs the question whose credentials these are, which may take its time, unless that is too much at once. */
  async authenticate<T>(address: string, ask: () => Promise<T>): Promise<T | LimitRefusal> {
    const waitMs = this.#failures.waitMs(address, performance.now());
    if (waitMs > 0) {
      return this.#refuse("failed_auths", "too many failed authentications from your address", {
        address,
        retryAfterMs: waitMs,
      });
    }
    const { maxAuthentications } = this.#settings;
    if (maxAuthentications > 0 && this.#authenticating >= maxAuthentications) {
      return this.#overloaded("authentications", "too many are waiting to be let in");
    }
    this.#authenticating++;
    try {
      return await ask();
    } finally {
      this.#authenticating--;
    }
  }

  /** The credentials that came from there were nobody's. */
  failed(address: string): void {
    this.#failures.take(address, performance.now());
  }

  /** A request over HTTP. */
  request(principal: Principal): LimitRefusal | undefined {
    return this.#spend("requests", "too many requests with these credentials", this.#requests, principal, 1);
  }

  /** A body that was read and is to be published. */
  publish(principal: Principal, bytes: number): LimitRefusal | undefined {
    return this.#spend(
      "publish_bytes",
      "too many bytes a second with these credentials",
      this.#bytes,
      principal,
      bytes,
    );
  }

  /**
   * The same for a body that can be made to wait: how many of the bytes may go on now, and in how many milliseconds more may. What it
   * leaves is for bodies that would be refused.
   */
  pace(principal: Principal, bytes: number): { readonly taken: number; readonly waitMs: number } {
    const now = performance.now();
    const who = principalKey(principal);
    return { taken: this.#bytes.takeSome(who, now, bytes), waitMs: this.#bytes.waitForSomeMs(who, now) };
  }

  /** Room for a body of at most so many bytes, which must be given back. */
  reserve(bytes: number): Place | LimitRefusal {
    const { maxBodiesBytes } = this.#settings;
    // One body always fits, or none would ever come through.
    if (maxBodiesBytes > 0 && this.#bodies > 0 && this.#bodies + bytes > maxBodiesBytes) {
      return this.#overloaded("bodies", "too many bodies are being received");
    }
    this.#bodies += bytes;
    return {
      leave: () => {
        this.#bodies -= bytes;
      },
    };
  }

  /** The principal's share of that room, which must be given back: what one takes others do not have. */
  share(principal: Principal, bytes: number): Place | LimitRefusal {
    const { maxBodiesBytes } = this.#settings;
    const who = principalKey(principal);
    const taken = this.#bodiesOf.get(who) ?? 0;
    if (maxBodiesBytes > 0 && taken > 0 && taken + bytes > maxBodiesBytes / SHARES) {
      return this.#refuse("bodies", "too many bodies at a time with these credentials", { teamId: principal.teamId });
    }
    this.#bodiesOf.set(who, taken + bytes);
    return {
      leave: () => {
        const left = (this.#bodiesOf.get(who) ?? 0) - bytes;
        if (left > 0) this.#bodiesOf.set(who, left);
        else this.#bodiesOf.delete(who);
      },
    };
  }

  /** Counts what was refused elsewhere. */
  count(name: LimitName, about: Readonly<Record<string, string>> = {}): void {
    this.#counts[name]++;
    const now = performance.now();
    if (now - (this.#told.get(name) ?? Number.NEGATIVE_INFINITY) < TOLD_EVERY_MS) return;
    this.#told.set(name, now);
    this.#logger.warn(
      { limit: name, refused: this.#counts[name], ...about },
      `a limit is reached: refusing (${SETTINGS[name]})`,
    );
  }

  #crowded(address: string): LimitRefusal | undefined {
    if (this.#all.full(ALL)) return this.#refuse("connections", "too many connections", {});
    if (this.#byAddress.full(address)) {
      return this.#refuse("connections_per_address", "too many connections from your address", { address });
    }
    return undefined;
  }

  #spend(name: LimitName, what: string, buckets: Buckets, principal: Principal, amount: number) {
    const now = performance.now();
    const who = principalKey(principal);
    if (buckets.take(who, now, amount)) return undefined;
    return this.#refuse(name, what, { teamId: principal.teamId, retryAfterMs: buckets.waitMs(who, now) });
  }

  #refuse(
    name: LimitName,
    what: string,
    { retryAfterMs, ...about }: { address?: string; teamId?: string; retryAfterMs?: number },
  ): LimitRefusal {
    this.count(name, about);
    return { code: "rate_limited", message: `${what}: slow down, and try again later`, retryAfterMs };
  }

  #overloaded(name: LimitName, what: string): LimitRefusal {
    this.count(name);
    return { code: "unavailable", message: `${what}: try again soon`, retryAfterMs: OVERLOAD_RETRY_MS };
  }
}

function perSecond(rate: number, burstSeconds: number): Buckets {
  return new Buckets({ perSecond: rate, most: Math.max(1, rate * burstSeconds) });
}

/** Whose connections and requests are counted together. */
function principalKey(principal: Principal): string {
  return principal.type === "api_key"
    ? `key ${principal.teamId} ${principal.keyId}`
    : `user ${principal.teamId} ${principal.userId}`;
}
