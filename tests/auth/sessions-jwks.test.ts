import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import type { JwtRefusal } from "../../broker/src/auth/sessions/jwt-refusal.ts";
import { createJwtSessions } from "../../broker/src/auth/sessions/jwt-sessions.ts";
import { KeySet } from "../../broker/src/auth/sessions/key-set.ts";
import { KeySetError, keySetFile, keySetUrl } from "../../broker/src/auth/sessions/load-key-set.ts";
import { type Answer, json, startAnsweringServer } from "./answering-server.ts";

const issuers = Object.fromEntries(
  await Promise.all(
    ["one", "two"].map(async (kid) => {
      const { publicKey, privateKey } = await generateKeyPair("ES256");
      return [
        kid,
        { privateKey, published: { ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" } },
      ] as const;
    }),
  ),
);
const published = (...kids: string[]) => ({ keys: kids.map((kid) => issuers[kid]?.published) });
const extractable = await generateKeyPair("ES256", { extractable: true });
const privateKey = { ...(await exportJWK(extractable.privateKey)), kid: "one" };
const token = (kid: string, claims = {}) =>
  new SignJWT({ sub: "ann", team_id: "t1", ...claims })
    .setProtectedHeader({ alg: "ES256", kid })
    .setExpirationTime("1h")
    .sign(issuers[kid]?.privateKey ?? new Uint8Array());

/** Sessions whose keys are read by `load`; time goes on when a test says so. */
function rig(load: ReturnType<typeof keySetUrl>) {
  const clock = { now: 0 };
  const refusals: JwtRefusal[] = [];
  const failures: unknown[] = [];
  const keys = new KeySet({
    load,
    refreshMs: 1_000,
    staleMs: 10_000,
    cooldownMs: 100,
    now: () => clock.now,
    onUnavailable: (error) => failures.push(error),
  });
  const { verifyToken } = createJwtSessions({ keys, onRefused: (code) => refusals.push(code) });
  return { clock, refusals, failures, verifyToken };
}

const ANN = { type: "session_user", teamId: "t1", userId: "ann" };

describe("keys at an address", () => {
  it("are read once, and again when a token names a new one", async () => {
    await using issuer = await startAnsweringServer(() => json(published("one")));
    const { clock, refusals, verifyToken } = rig(keySetUrl(issuer.url, 5_000));
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
    expect(issuer.asked).toHaveLength(1);
    issuer.answer = () => json(published("two"));
    clock.now = 100;
    expect(await verifyToken(await token("two"))).toMatchObject(ANN);
    expect(await verifyToken(await token("one"))).toBeUndefined();
    expect(refusals).toEqual(["jwt_unknown_key"]);
    expect(issuer.asked).toHaveLength(2);
    expect(issuer.asked[0]).toMatchObject({ method: "GET", body: "" });
  });

  it("while it is away, known ones count for a while and unknown ones are an outage; it mends itself", async () => {
    await using issuer = await startAnsweringServer(() => json(published("one")));
    const { clock, refusals, failures, verifyToken } = rig(keySetUrl(issuer.url, 5_000));
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
    await issuer.stop();
    clock.now = 5_000;
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
    await expect(verifyToken(await token("two"))).rejects.toMatchObject({ code: "fetch_unreachable" });
    clock.now = 10_000;
    await expect(verifyToken(await token("one"))).rejects.toMatchObject({ code: "fetch_unreachable" });
    expect(failures.length).toBeGreaterThan(0);
    expect(refusals).toEqual([]);
    issuer.answer = () => json(published("one", "two"));
    await issuer.start();
    clock.now = 10_100;
    expect(await verifyToken(await token("two"))).toMatchObject(ANN);
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
  });

  it("that does not answer in time is away", async () => {
    await using issuer = await startAnsweringServer(() => new Promise<Answer>(() => undefined));
    const { verifyToken } = rig(keySetUrl(issuer.url, 50));
    await expect(verifyToken(await token("one"))).rejects.toMatchObject({ code: "fetch_timeout" });
  });

  it("a slow body is not waited for either", async () => {
    await using issuer = await startAnsweringServer(() => ({ headers: { "content-length": "100" }, body: "{" }));
    await expect(keySetUrl(issuer.url, 50)()).rejects.toMatchObject({ code: "fetch_timeout" });
  });

  const huge = JSON.stringify({ ...published("one"), note: "x".repeat(300_000) });
  it.each<[string, Answer, string]>([
    ["no JSON", { body: "<html>" }, "jwks_unusable"],
    ["no set", json({ key: 1 }), "jwks_unusable"],
    ["an empty set", json({ keys: [] }), "jwks_unusable"],
    ["keys that are none", json({ keys: ["one"] }), "jwks_unusable"],
    ["a private key", json({ keys: [privateKey] }), "jwks_unusable"],
    ["a shared secret", json({ keys: [{ kty: "oct", k: "c2VjcmV0", kid: "one" }] }), "jwks_unusable"],
    ["too many keys", json({ keys: Array(65).fill(published("one").keys[0]) }), "jwks_unusable"],
    ["an error", json(published("one"), 500), "jwks_unusable"],
    ["a redirect", { status: 302, headers: { location: "/keys" } }, "jwks_unusable"],
    ["far too much", { body: huge }, "fetch_too_large"],
    [
      "far too much once it is unpacked",
      { headers: { "content-encoding": "gzip" }, body: gzipSync(huge) },
      "fetch_too_large",
    ],
  ])("answers of %s are an outage, never a key", async (_what, nonsense, code) => {
    await using issuer = await startAnsweringServer(({ path }) =>
      path === "/keys" ? json(published("one")) : nonsense,
    );
    const { verifyToken, refusals } = rig(keySetUrl(issuer.url, 5_000));
    await expect(verifyToken(await token("one"))).rejects.toMatchObject({ code });
    expect(refusals).toEqual([]);
    expect(issuer.asked).toHaveLength(1);
  });

  it("an answer that cannot be used takes no key away that is known", async () => {
    await using issuer = await startAnsweringServer(() => json(published("one")));
    const { clock, failures, verifyToken } = rig(keySetUrl(issuer.url, 5_000));
    await verifyToken(await token("one"));
    issuer.answer = () => ({ body: "<html>" });
    clock.now = 1_000;
    expect(await verifyToken(await token("one"))).toMatchObject(ANN);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toBeInstanceOf(KeySetError);
  });
});

describe("keys in a file", () => {
  it("are read again when a token names a new one; a file that went away takes none", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kata-jwks-"));
    const file = join(directory, "jwks.json");
    try {
      await writeFile(file, JSON.stringify(published("one")));
      const { clock, refusals, verifyToken } = rig(keySetFile(file));
      expect(await verifyToken(await token("one"))).toMatchObject(ANN);
      clock.now = 100;
      expect(await verifyToken(await token("two"))).toBeUndefined();
      expect(refusals).toEqual(["jwt_unknown_key"]);
      await writeFile(file, JSON.stringify(published("one", "two")));
      clock.now = 200;
      expect(await verifyToken(await token("two"))).toMatchObject(ANN);
      await rm(file);
      clock.now = 2_000;
      expect(await verifyToken(await token("two"))).toMatchObject(ANN);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("that is not there is said without its path", async () => {
    const reading = keySetFile(join(tmpdir(), "kata-no-such-file"))();
    await expect(reading).rejects.toThrow(/^the key set cannot be read \(ENOENT\)$/);
  });
});
