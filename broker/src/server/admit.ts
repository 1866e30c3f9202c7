import type { ErrorCode } from "@kata/protocol/wire";
import { mayDo, type Scope } from "../auth/principal.ts";
import { authenticate, type Known, lookAgain } from "./authenticate.ts";
import type { Refusal } from "./refusal.ts";
import type { Caller } from "./request.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

export interface Refused {
  readonly refused: Refusal;
}

export type Identified = Known | Refused;

export type Admission = (Known & { readonly subject: string }) | Refused;

/** Whether a request may do something: who it is, and what it may do. */
export async function identify(
  caller: Caller,
  scope: Scope,
  deps: Pick<SessionDeps, "resolve" | "limits" | "revokedSince">,
): Promise<Identified> {
  const identity = await authenticate(caller, deps);
  if (identity.refused !== undefined) return identity;
  const limited = deps.limits.request(identity.principal);
  if (limited !== undefined) return { refused: limited };
  if (!mayDo(identity.principal, scope)) return refuse("forbidden", EXPLAINED.scope);
  return identity;
}

/** The same with a channel: whose it is comes last. */
export async function admit(
  caller: Caller,
  scope: Scope,
  channel: string,
  deps: Pick<SessionDeps, "resolve" | "limits" | "revokedSince" | "authorize">,
): Promise<Admission> {
  const identified = await identify(caller, scope, deps);
  if (identified.refused !== undefined) return identified;
  const authorized = await deps.authorize(channel, identified.principal);
  if (authorized.errorCode !== undefined) return refuse(authorized.errorCode, EXPLAINED[authorized.errorCode]);
  const identity = lookAgain(identified, deps);
  return identity.refused === undefined ? { ...identity, subject: authorized.subject } : identity;
}

function refuse(code: ErrorCode, message: string): Refused {
  return { refused: { code, message } };
}
