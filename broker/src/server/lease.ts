import type { Principal } from "../auth/principal.ts";
import { isRevoked, type Revocation } from "../auth/revocation.ts";

/** How long before its end a client is told to present fresh credentials, milliseconds. */
export const WARNING_MS = 60_000;

/** What is to be done about a connection's credentials: nothing, tell that they end at `endsAt`, or end it. */
export type Due =
  | undefined
  | { readonly what: "warn"; readonly endsAt: number }
  | { readonly what: "expired" }
  | { readonly what: "revoked" };

/** A connection's right to be there, which ends with its credentials [AUTH-3]. Times are milliseconds since 1970. */
export class Lease {
  #principal: Principal;
  #endsAt: number;
  #revoked = false;
  #warned = false;

  constructor(principal: Principal) {
    this.#principal = principal;
    this.#endsAt = principal.expiresAt ?? Number.POSITIVE_INFINITY;
  }

  get principal(): Principal {
    return this.#principal;
  }

  /** The same principal has presented fresh credentials, which were valid a moment ago. */
  renew(principal: Principal): void {
    this.#principal = principal;
    this.#endsAt = principal.expiresAt ?? Number.POSITIVE_INFINITY;
    this.#revoked = false;
    this.#warned = false;
  }

  /** Takes note of credentials that count no more; whether it concerns these. */
  revoke(revocation: Revocation): boolean {
    if (!isRevoked(this.#principal, revocation)) return false;
    if (revocation.at === undefined) this.#revoked = true;
    else if (revocation.at < this.#endsAt) {
      this.#endsAt = revocation.at;
      this.#warned = false;
    }
    return true;
  }

  due(now: number): Due {
    if (this.#revoked) return { what: "revoked" };
    if (now >= this.#endsAt) return { what: "expired" };
    if (this.#warned || this.#endsAt - now > WARNING_MS) return undefined;
    this.#warned = true;
    return { what: "warn", endsAt: this.#endsAt };
  }
}
