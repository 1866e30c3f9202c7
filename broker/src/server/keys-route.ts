import { z } from "zod";
import type { CreatedKey, KeyInfo, KeyStore, NewKey } from "../auth/keys/key-store.ts";
import { SCOPES } from "../auth/principal.ts";
import type { AdminRequest, Outcome } from "./admin-route.ts";
import { parsePage } from "./page-query.ts";

/** What the routes need of the keys; times are milliseconds since 1970. */
export type KeyAdmin = Pick<KeyStore, "create" | "page" | "rotate" | "revoke">;

const NewKeySchema = z.strictObject({
  scopes: z.array(z.enum(SCOPES)).min(1),
  channels: z.array(z.string()).optional(),
  name: z.string().optional(),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});
const RotationSchema = z.strictObject({
  graceSeconds: z
    .number()
    .min(0)
    .max(366 * 86_400)
    .optional(),
});

const NO_SUCH_KEY = { code: "not_found", message: "your team has no such key" } as const;

/** `POST /v1/keys` [KEYS-1]. */
export async function createKey(keys: KeyAdmin, { principal, body }: AdminRequest): Promise<Outcome> {
  const parsed = NewKeySchema.safeParse(body);
  if (!parsed.success) {
    return {
      code: "bad_request",
      message: `a key is asked for as {scopes: [${SCOPES.join(", ")}], channels?, name?, expiresAt?}, expiresAt in RFC 3339`,
    };
  }
  const { scopes, channels, name, expiresAt } = parsed.data;
  const wish: NewKey = {
    teamId: principal.teamId,
    scopes,
    channels,
    name,
    expiresAt: expiresAt === undefined ? undefined : Date.parse(expiresAt),
  };
  try {
    const created = await keys.create(wish);
    return { status: 201, body: shown(created), changed: `API key ${created.keyId} was made` };
  } catch (error) {
    if (error instanceof TypeError) return { code: "bad_request", message: error.message };
    throw error;
  }
}

/** `GET /v1/keys` [KEYS-2]. */
export function listKeys(keys: KeyAdmin, { principal, query }: AdminRequest): Outcome {
  const page = parsePage(query);
  if ("problem" in page) return { code: "bad_request", message: page.problem };
  const { keys: listed, next } = keys.page(principal.teamId, page);
  return { status: 200, body: { keys: listed.map(shown), next } };
}

/** `POST /v1/keys/{keyId}/rotate` [KEYS-3]. */
export async function rotateKey(keys: KeyAdmin, { principal, parameter, body }: AdminRequest): Promise<Outcome> {
  const parsed = RotationSchema.safeParse(body ?? {});
  if (!parsed.success) {
    return { code: "bad_request", message: "a rotation is asked for as {graceSeconds?}, at most 366 days" };
  }
  const graceMs = (parsed.data.graceSeconds ?? 0) * 1_000;
  const rotated = await keys.rotate(principal.teamId, parameter, graceMs);
  if (rotated === undefined) return NO_SUCH_KEY;
  return { status: 200, body: shown(rotated), changed: `API key ${rotated.keyId} was given a new secret` };
}

/** `DELETE /v1/keys/{keyId}` [KEYS-4]. */
export async function revokeKey(keys: KeyAdmin, { principal, parameter }: AdminRequest): Promise<Outcome> {
  if (!(await keys.revoke(principal.teamId, parameter))) return NO_SUCH_KEY;
  return { status: 204, changed: `API key ${parameter} was revoked` };
}

/** A key as JSON, its times in RFC 3339. */
function shown({ createdAt, expiresAt, ...rest }: KeyInfo | CreatedKey): unknown {
  return {
    ...rest,
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
  };
}
