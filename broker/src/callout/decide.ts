import { type ApiKeyPrincipal, mayDo } from "../auth/principal.ts";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";

export type Decision =
  | { readonly kind: "let_in"; readonly principal: ApiKeyPrincipal; readonly key: string }
  /** Whoever it is stays out. Cause and details are for the broker's log; they hold no secret. */
  | { readonly kind: "refused"; readonly cause: string; readonly details?: object }
  /** It cannot be known who it is: he stays out too, and may try again. */
  | { readonly kind: "unknown"; readonly cause: string; readonly details?: object };

/**
 * Whether the one who presents `credential` to NATS is let in: API keys with the scope `publish` are. It never rejects,
 * and whatever goes wrong keeps him out.
 */
export async function decide(
  credential: string | undefined,
  resolve: (credentials: Credentials) => Promise<Resolution>,
  deadlineMs: number,
): Promise<Decision> {
  if (credential === undefined) return { kind: "refused", cause: "it presented no API key" };
  let resolution: Resolution | undefined;
  try {
    resolution = await within(deadlineMs, () => resolve({ apiKey: credential }));
  } catch (error) {
    return { kind: "unknown", cause: "its API key could not be looked up", details: { err: error } };
  }
  if (resolution === undefined) return { kind: "unknown", cause: `its API key was not found in ${deadlineMs} ms` };
  if (resolution.errorCode === "unavailable") return { kind: "unknown", cause: "whoever knows API keys is away" };
  if (resolution.errorCode !== undefined) return { kind: "refused", cause: "its API key is not valid" };
  const { principal } = resolution;
  if (principal.type !== "api_key") return { kind: "refused", cause: "only API keys may publish over NATS" };
  if (!mayDo(principal, "publish")) {
    return { kind: "refused", cause: "its API key has no scope publish", details: { keyId: principal.keyId } };
  }
  return { kind: "let_in", principal, key: credential };
}

/** The answer, or `undefined` if it takes longer. */
async function within<T>(ms: number, ask: () => Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([ask(), late]);
  } finally {
    clearTimeout(timer);
  }
}
