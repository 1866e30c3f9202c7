import { expect, test } from "vitest";
import { type Bucket, StoreUnavailableError } from "../store/bucket.ts";
import { createTeamSecrets } from "./team-secrets.ts";

/** As much of a bucket as is asked for. */
function createBucket() {
  const values = new Map<string, Uint8Array>();
  let away = false;
  let reads = 0;
  const bucket = {
    name: "KATA_TEAMS",
    async get(key: string) {
      reads++;
      if (away) throw new StoreUnavailableError("away");
      const value = values.get(key);
      return value && { key, value, revision: 1 };
    },
    async create(key: string, value: Uint8Array) {
      if (values.has(key)) return undefined;
      values.set(key, value);
      return 1;
    },
  };
  return {
    bucket: bucket as unknown as Bucket,
    reads: () => reads,
    away(on: boolean) {
      away = on;
    },
  };
}

test("a team's secret is made once, whichever broker is first, and asked for once", async () => {
  const { bucket, reads } = createBucket();
  const [one, two] = [createTeamSecrets(bucket), createTeamSecrets(bucket)];
  const secrets = await Promise.all([one.secretOf("t1"), two.secretOf("t1"), one.secretOf("t1"), one.secretOf("t2")]);
  expect(secrets[0]).toHaveLength(32);
  expect(secrets[1]).toEqual(secrets[0]);
  expect(secrets[2]).toEqual(secrets[0]);
  expect(secrets[3]).not.toEqual(secrets[0]);
  const asked = reads();
  await one.secretOf("t1");
  expect(reads()).toBe(asked);
});

test("while the bucket is away there is none; afterwards it is the same as before", async () => {
  const { bucket, away } = createBucket();
  const before = await createTeamSecrets(bucket).secretOf("t1");
  const secrets = createTeamSecrets(bucket);
  away(true);
  await expect(secrets.secretOf("t1")).rejects.toThrow(StoreUnavailableError);
  away(false);
  expect(await secrets.secretOf("t1")).toEqual(before);
});
