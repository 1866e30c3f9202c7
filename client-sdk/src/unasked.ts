import type { ErrorPayload } from "@kata/protocol/wire";
import type { ConnectionStep } from "./connection-state.ts";
import type { Incoming } from "./decode.ts";

/** An error that answers no command and is about no channel: about the connection itself. */
function unaskedError(message: Incoming): ErrorPayload | undefined {
  if (message.kind !== "error") return undefined;
  const { error } = message;
  return error.id === undefined && error.channel === undefined ? error : undefined;
}

/** [AUTH-3] Whether it says that the credentials are about to expire, and thereby that the broker has let us in. */
export function isWarning(message: Incoming): boolean {
  return unaskedError(message)?.code === "token_expiring";
}

/** Why the broker is about to close: at the door ([CONNECT-4]), or because the credentials have ended ([AUTH-3]). */
export function lastWord(message: Incoming, step: ConnectionStep): ErrorPayload | undefined {
  const error = unaskedError(message);
  if (error === undefined || error.code === "token_expiring") return undefined;
  return step === "greeting" || error.code === "token_expired" ? error : undefined;
}
