import type { ErrorCode } from "@kata/protocol/wire";
import { authorizeChannel } from "../auth/authorize-channel.ts";
import { mayDo, type Principal, type Scope } from "../auth/principal.ts";
import type { Credentials } from "../auth/resolve-principal.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

export type Admission =
  | { readonly principal: Principal; readonly subject: string; readonly refused?: undefined }
  | { readonly refused: { readonly code: ErrorCode; readonly message: string } };

/** Whether a request may do something with a channel: who it is, what it may do, whose the channel is, in this order. */
export async function admit(
  credentials: Credentials,
  scope: Scope,
  channel: string,
  { resolve, access, onAdapterError }: Pick<SessionDeps, "resolve" | "access" | "onAdapterError">,
): Promise<Admission> {
  const { principal, errorCode } = await resolve(credentials);
  if (errorCode !== undefined) return refuse(errorCode, EXPLAINED[errorCode]);
  if (!mayDo(principal, scope)) return refuse("forbidden", EXPLAINED.scope);
  const authorized = await authorizeChannel(channel, principal, access, onAdapterError);
  if (authorized.errorCode !== undefined) return refuse(authorized.errorCode, EXPLAINED[authorized.errorCode]);
  return { principal, subject: authorized.subject };
}

function refuse(code: ErrorCode, message: string): Admission {
  return { refused: { code, message } };
}
