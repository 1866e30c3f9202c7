import type { ErrorCode } from "@kata/protocol/wire";
import { authorizeChannel } from "../auth/authorize-channel.ts";
import { mayDo, type Principal, type Scope } from "../auth/principal.ts";
import { authenticate } from "./authenticate.ts";
import type { Refusal } from "./refusal.ts";
import type { Caller } from "./request.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

export interface Refused {
  readonly refused: Refusal;
}

export type Identified = { readonly principal: Principal; readonly refused?: undefined } | Refused;

export type Admission =
  | { readonly principal: Principal; readonly subject: string; readonly refused?: undefined }
  | Refused;

/** Whether a request may do something: who it is, and what it may do. */
export async function identify(
  caller: Caller,
  scope: Scope,
  deps: Pick<SessionDeps, "resolve" | "limits">,
): Promise<Identified> {
  const { principal, refused } = await authenticate(caller, deps);
  if (refused !== undefined) return { refused };
  const limited = deps.limits.request(principal);
  if (limited !== undefined) return { refused: limited };
  if (!mayDo(principal, scope)) return refuse("forbidden", EXPLAINED.scope);
  return { principal };
}

/** The same with a channel: whose it is comes last. */
export async function admit(
  caller: Caller,
  scope: Scope,
  channel: string,
  deps: Pick<SessionDeps, "resolve" | "limits" | "access" | "onAdapterError">,
): Promise<Admission> {
  const identified = await identify(caller, scope, deps);
  if (identified.refused !== undefined) return identified;
  const { principal } = identified;
  const authorized = await authorizeChannel(channel, principal, deps.access, deps.onAdapterError);
  if (authorized.errorCode !== undefined) return refuse(authorized.errorCode, EXPLAINED[authorized.errorCode]);
  return { principal, subject: authorized.subject };
}

function refuse(code: ErrorCode, message: string): Refused {
  return { refused: { code, message } };
}
