import type { Principal } from "./principal.ts";

/** Credentials that are not valid any more, or not for much longer. */
export type Revocation = (
  | {
      readonly type: "api_key";
      readonly keyId: string;
      /** One of the key's secrets; absent: all of them. */
      readonly secretId?: string | undefined;
    }
  | { readonly type: "session"; readonly sessionId: string }
) & {
  /** From when on, milliseconds since 1970; absent: from now on. */
  readonly at?: number | undefined;
};

/** Whether it was with these that the principal came. */
export function isRevoked(principal: Principal, revocation: Revocation): boolean {
  if (revocation.type === "session") {
    return principal.type === "session_user" && principal.sessionId === revocation.sessionId;
  }
  if (principal.type !== "api_key" || principal.keyId !== revocation.keyId) return false;
  return revocation.secretId === undefined || principal.secretId === revocation.secretId;
}

/** The principal as it counts after these; `undefined` if it does not count any more. */
export function afterRevocations(principal: Principal, revocations: readonly Revocation[]): Principal | undefined {
  let left = principal;
  for (const revocation of revocations) {
    if (!isRevoked(principal, revocation)) continue;
    const { at } = revocation;
    if (at === undefined) return undefined;
    if (left.expiresAt === undefined || at < left.expiresAt) left = { ...left, expiresAt: at };
  }
  return left;
}

/**
 * Remembers for a while what was revoked: somebody who was being let in when word of it came has no connection yet that
 * could be ended.
 */
export class RecentRevocations {
  readonly #keptMs: number;
  readonly #recent: { readonly revocation: Revocation; readonly at: number }[] = [];

  /** @param keptMs the longest that anybody takes to come in, milliseconds */
  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  tell(revocation: Revocation): void {
    const at = performance.now();
    while (at - (this.#recent[0]?.at ?? at) > this.#keptMs) this.#recent.shift();
    this.#recent.push({ revocation, at });
  }

  /** Those that came at this time or later (`performance.now()`). */
  since(at: number): Revocation[] {
    // Mostly there is none, and after a mass revocation there are many that came before.
    if ((this.#recent.at(-1)?.at ?? 0) < at) return [];
    return this.#recent.filter((each) => each.at >= at).map(({ revocation }) => revocation);
  }
}

type Listener = (revocation: Revocation) => void;

/** Passes word of revocations on to all who listen. */
export class Revocations {
  readonly #listeners = new Set<Listener>();

  /** The returned function ends it. `listener` must not throw. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(revocation: Revocation): void {
    for (const listener of [...this.#listeners]) listener(revocation);
  }
}
