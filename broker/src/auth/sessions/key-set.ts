import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { type JwtKeys, PUBLIC_KEY_ALGORITHMS } from "./jwt-keys.ts";

export interface KeySetOptions {
  /** Reads the set from where it is kept; bounded in time. */
  readonly load: () => Promise<JSONWebKeySet>;
  /** How old the keys may get before they are read again, milliseconds; default 300,000. A key that was withdrawn counts for as long. */
  readonly refreshMs?: number | undefined;
  /** How old they may get while they cannot be read, milliseconds; default 3,600,000. */
  readonly staleMs?: number | undefined;
  /** Between two readings that tokens with unknown keys, or a failure, lead to, milliseconds; default 5,000. */
  readonly cooldownMs?: number | undefined;
  /** Told of each reading that failed. Must not throw. */
  readonly onUnavailable?: ((error: unknown) => void) | undefined;
  /** Milliseconds that only grow; default `performance.now`. */
  readonly now?: (() => number) | undefined;
}

/**
 * Public keys that are kept elsewhere and change there. A token with a key that is not known leads to another reading, but
 * not more often than the cooldown says: anybody can name keys. While they cannot be read, those that are known go on
 * being used for a while, and of others nothing can be said: `find` rejects with what the reading failed of.
 */
export class KeySet implements JwtKeys {
  readonly algorithms = PUBLIC_KEY_ALGORITHMS;
  readonly #load: () => Promise<JSONWebKeySet>;
  readonly #refreshMs: number;
  readonly #staleMs: number;
  readonly #cooldownMs: number;
  readonly #onUnavailable: (error: unknown) => void;
  readonly #now: () => number;
  #keys: JWTVerifyGetKey | undefined;
  /** When the reading that brought the keys began. */
  #readAt = Number.NEGATIVE_INFINITY;
  #failure: { readonly at: number; readonly error: unknown } | undefined;
  #reading: Promise<JWTVerifyGetKey> | undefined;

  constructor(options: KeySetOptions) {
    this.#load = options.load;
    this.#refreshMs = options.refreshMs ?? 300_000;
    this.#staleMs = options.staleMs ?? 3_600_000;
    this.#cooldownMs = options.cooldownMs ?? 5_000;
    this.#onUnavailable = options.onUnavailable ?? (() => undefined);
    this.#now = options.now ?? (() => performance.now());
  }

  readonly find: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#current();
    try {
      return await keys(header, token);
    } catch (error) {
      const settled = this.#now() - this.#readAt < this.#cooldownMs;
      if (settled || !(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    return (await this.refresh())(header, token);
  };

  /** Reads the set now, unless a reading failed just before. Rejects with what it failed of. */
  refresh(): Promise<JWTVerifyGetKey> {
    if (this.#reading !== undefined) return this.#reading;
    if (this.#failure !== undefined && this.#now() - this.#failure.at < this.#cooldownMs) {
      return Promise.reject(this.#failure.error);
    }
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #current(): Promise<JWTVerifyGetKey> {
    if (this.#keys !== undefined && this.#age() < this.#refreshMs) return this.#keys;
    const reading = this.refresh();
    // Once a reading has failed, nobody waits for the next ones while there are keys that may be used.
    if (this.#failure !== undefined && this.#usable() !== undefined) reading.catch(() => undefined);
    else await reading.catch(() => undefined);
    return this.#usable() ?? reading;
  }

  async #read(): Promise<JWTVerifyGetKey> {
    const at = this.#now();
    try {
      const keys = createLocalJWKSet(await this.#load());
      this.#keys = keys;
      this.#readAt = at;
      this.#failure = undefined;
      return keys;
    } catch (error) {
      this.#failure = { at: this.#now(), error };
      this.#onUnavailable(error);
      throw error;
    }
  }

  #usable(): JWTVerifyGetKey | undefined {
    return this.#age() < this.#staleMs ? this.#keys : undefined;
  }

  #age(): number {
    return this.#now() - this.#readAt;
  }
}
