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
