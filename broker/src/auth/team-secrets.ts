import { randomBytes } from "node:crypto";
import { type Bucket, StoreUnavailableError } from "../store/bucket.ts";

/** The bucket that holds them. */
export const TEAMS_BUCKET = "KATA_TEAMS";

/** The secrets with which idempotency keys become message ids that no other team can guess. */
export interface TeamSecrets {
  /** The team's secret, 32 bytes, made when it is asked for first. @throws StoreUnavailableError */
  secretOf(teamId: string): Promise<Uint8Array>;
}

/** A secret for each team, in a bucket. It never changes: with another one a retry would be a new event. */
export function createTeamSecrets(bucket: Bucket): TeamSecrets {
  const known = new Map<string, Promise<Uint8Array>>();
  const find = async (teamId: string): Promise<Uint8Array> => {
    const entry = await bucket.get(teamId);
    if (entry !== undefined) return entry.value;
    const secret = randomBytes(32);
    if ((await bucket.create(teamId, secret)) !== undefined) return secret;
    // Another broker was first.
    const theirs = await bucket.get(teamId);
    if (theirs === undefined) throw new StoreUnavailableError(`the secret of team ${teamId} cannot be read`);
    return theirs.value;
  };
  return {
    secretOf(teamId) {
      let secret = known.get(teamId);
      if (secret === undefined) {
        secret = find(teamId);
        known.set(teamId, secret);
        // A failure is not remembered: the next request tries anew.
        secret.catch(() => known.delete(teamId));
      }
      return secret;
    },
  };
}
