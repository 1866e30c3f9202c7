import { createHash, timingSafeEqual } from "node:crypto";
import { isId } from "@kata/protocol/wire";
import type { ApiKeyAuth, ChannelAccess } from "./adapters.ts";

/** The id of the development key, which is no id that the store of keys gives. */
export const DEVELOPMENT_KEY_ID = "dev";

export interface DevelopmentAuthOptions {
  /** The one key that is let in, with every scope. */
  readonly apiKey: string;
  /** The team it belongs to, which owns every spec and agent. */
  readonly teamId: string;
}

/**
 * One key and one team, for development and tests: nothing has to be registered, every spec and agent is the team's.
 *
 * @throws TypeError if the key is shorter than 16 characters or the team is no id
 */
export function createDevelopmentAuth(options: DevelopmentAuthOptions): { apiKeys: ApiKeyAuth; access: ChannelAccess } {
  const { apiKey, teamId } = options;
  if (apiKey.length < 16) throw new TypeError("a development API key needs at least 16 characters");
  if (!isId(teamId)) throw new TypeError("teamId must match [A-Za-z0-9_-]{1,128}");
  const expected = digest(apiKey);
  const owner = () => Promise.resolve(teamId);
  return {
    apiKeys: {
      async verifyKey(key) {
        // Digests have one length, so the comparison says nothing about the key.
        if (!timingSafeEqual(digest(key), expected)) return undefined;
        return { type: "api_key", teamId, keyId: DEVELOPMENT_KEY_ID, scopes: ["subscribe", "publish", "admin"] };
      },
    },
    access: { resolveSpecTeamId: owner, resolveAgentTeamId: owner },
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}
