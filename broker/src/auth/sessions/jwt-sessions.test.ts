import { createHmac } from "node:crypto";
import {
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
  type CryptoKey as WebCryptoKey,
} from "jose";
import { describe, expect, it } from "vitest";
import { resolvePrincipal } from "../resolve-principal.ts";
import { type JwtKeys, sharedSecret } from "./jwt-keys.ts";
import type { JwtRefusal } from "./jwt-refusal.ts";
import { createJwtSessions, type JwtSessionsOptions } from "./jwt-sessions.ts";
import { KeySet } from "./key-set.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const NOW_S = 1_700_000_000;
const NOW = NOW_S * 1_000;
const CLAIMS = { sub: "ann", team_id: "t1", exp: NOW_S + 60, iss: "https://issuer.example", aud: "kata" };
const DEMANDS = { issuer: "https://issuer.example", audience: "kata" };

const rsa = await generateKeyPair("RS256");
const pss = await generateKeyPair("PS512");
const ec = await generateKeyPair("ES256");
const ed = await generateKeyPair("EdDSA");
const stranger = await generateKeyPair("RS256");
const published = await Promise.all(
  Object.entries({ rsa, pss, ec, ed }).map(async ([kid, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid })),
);
const keySet = (keys = published): JwtKeys => new KeySet({ load: async () => ({ keys }) });

function sign(
  claims: JWTPayload,
  key: WebCryptoKey | Uint8Array,
  header: { alg: string; kid?: string },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader(header).sign(key);
}
const withSecret = (claims: JWTPayload = CLAIMS, secret = SECRET) =>
  sign(claims, new TextEncoder().encode(secret), { alg: "HS256" });
const without = (claim: keyof typeof CLAIMS): JWTPayload =>
  Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => name !== claim));
const withRsa = (claims: JWTPayload = CLAIMS) => sign(claims, rsa.privateKey, { alg: "RS256", kid: "rsa" });

/** Sessions, and why they refused. */
function sessions(options: Partial<JwtSessionsOptions> = {}) {
  const refusals: JwtRefusal[] = [];
  const store = createJwtSessions({
    keys: sharedSecret(SECRET),
    ...DEMANDS,
    now: () => NOW,
    onRefused: (code) => refusals.push(code),
    ...options,
  });
  return { ...store, refusals };
}

const ANN = { type: "session_user", teamId: "t1", userId: "ann", expiresAt: NOW + 65_000 };

describe("JWT sessions", () => {
  it.each([
    ["a shared secret", { keys: sharedSecret(SECRET) }, () => withSecret()],
    ["RS256", { keys: keySet() }, () => withRsa()],
    ["PS512", { keys: keySet() }, () => sign(CLAIMS, pss.privateKey, { alg: "PS512", kid: "pss" })],
    ["ES256", { keys: keySet() }, () => sign(CLAIMS, ec.privateKey, { alg: "ES256", kid: "ec" })],
    ["EdDSA", { keys: keySet() }, () => sign(CLAIMS, ed.privateKey, { alg: "EdDSA", kid: "ed" })],
    ["a key that the token does not name", { keys: keySet() }, () => sign(CLAIMS, ec.privateKey, { alg: "ES256" })],
    ["several audiences", {}, () => withSecret({ ...CLAIMS, aud: ["other", "kata"] })],
    ["no issuer and audience asked for", { issuer: undefined, audience: undefined }, () => withSecret()],
  ])("let in by %s", async (_what, options, token) => {
    const store = sessions(options);
    expect(await store.verifyToken(await token())).toEqual(ANN);
    expect(store.refusals).toEqual([]);
  });

  it("may name the team by another claim", async () => {
    const store = sessions({ teamClaim: "https://kata.example/team" });
    const claims = { ...CLAIMS, "https://kata.example/team": "t2" };
    expect(await store.verifyToken(await withSecret(claims))).toMatchObject({ teamId: "t2" });
    expect(await store.verifyToken(await withSecret())).toBeUndefined();
    expect(store.refusals).toEqual(["jwt_claims"]);
  });

  const part = (json: object) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const publicKeyAsSecret = async () => {
    const signed = `${part({ alg: "HS256", kid: "rsa" })}.${part(CLAIMS)}`;
    const signature = createHmac("sha256", await exportSPKI(rsa.publicKey))
      .update(signed)
      .digest("base64url");
    return `${signed}.${signature}`;
  };
  const withPart = (token: string, n: number, text: string) => token.split(".").with(n, text).join(".");
  const secretOnly: Partial<JwtSessionsOptions> = {};
  const keysOnly: Partial<JwtSessionsOptions> = { keys: keySet() };

  it.each<[JwtRefusal, string, Partial<JwtSessionsOptions>, () => Promise<string> | string]>([
    ["jwt_algorithm", "alg none", secretOnly, () => new UnsecuredJWT(CLAIMS).encode()],
    ["jwt_algorithm", "alg none, by keys", keysOnly, () => new UnsecuredJWT(CLAIMS).encode()],
    ["jwt_algorithm", "HS256 with the public key as the secret", keysOnly, publicKeyAsSecret],
    ["jwt_algorithm", "a public key where a secret is shared", secretOnly, () => withRsa()],
    ["jwt_algorithm", "HS512", secretOnly, () => sign(CLAIMS, Buffer.alloc(64, SECRET), { alg: "HS512" })],
    ["jwt_signature", "another secret", secretOnly, () => withSecret(CLAIMS, `${SECRET}x`)],
    [
      "jwt_signature",
      "claims that were changed",
      secretOnly,
      async () => withPart(await withSecret(), 1, part({ ...CLAIMS, team_id: "t2" })),
    ],
    [
      "jwt_signature",
      "somebody else's key under a known name",
      keysOnly,
      () => sign(CLAIMS, stranger.privateKey, { alg: "RS256", kid: "rsa" }),
    ],
    [
      "jwt_unknown_key",
      "an unknown key",
      keysOnly,
      () => sign(CLAIMS, stranger.privateKey, { alg: "RS256", kid: "who" }),
    ],
    [
      "jwt_unknown_key",
      "a key of another kind",
      keysOnly,
      () => sign(CLAIMS, rsa.privateKey, { alg: "RS256", kid: "ec" }),
    ],
    ["jwt_audience", "another audience", secretOnly, () => withSecret({ ...CLAIMS, aud: "other" })],
    ["jwt_audience", "no audience", secretOnly, () => withSecret(without("aud"))],
    ["jwt_issuer", "another issuer", secretOnly, () => withSecret({ ...CLAIMS, iss: "https://issuer.example/" })],
    ["jwt_issuer", "no issuer", secretOnly, () => withSecret(without("iss"))],
    ["jwt_not_yet_valid", "a start to come", secretOnly, () => withSecret({ ...CLAIMS, nbf: NOW_S + 6 })],
    ["jwt_claims", "a start that is no time", secretOnly, () => withSecret({ ...CLAIMS, nbf: "now" } as never)],
    ["jwt_claims", "no team", secretOnly, () => withSecret(without("team_id"))],
    ["jwt_claims", "a team that is no id", secretOnly, () => withSecret({ ...CLAIMS, team_id: "t1.>" })],
    ["jwt_claims", "several teams", secretOnly, () => withSecret({ ...CLAIMS, team_id: ["t1"] })],
    ["jwt_claims", "no user", secretOnly, () => withSecret(without("sub"))],
    ["jwt_claims", "an empty user", secretOnly, () => withSecret({ ...CLAIMS, sub: "" })],
    ["jwt_claims", "no end", secretOnly, () => withSecret(without("exp"))],
    ["jwt_claims", "an end that no date can be", secretOnly, () => withSecret({ ...CLAIMS, exp: 1e300 })],
    ["jwt_claims", "an end that is no number", secretOnly, () => withSecret({ ...CLAIMS, exp: "never" } as never)],
    ["jwt_claims", "an end long ago, and no team", secretOnly, () => withSecret({ ...CLAIMS, exp: 1, team_id: "" })],
    [
      "jwt_audience",
      "an end long ago, and another audience",
      secretOnly,
      () => withSecret({ ...CLAIMS, exp: 1, aud: "x" }),
    ],
    [
      "jwt_signature",
      "an end long ago, and another secret",
      secretOnly,
      () => withSecret({ ...CLAIMS, exp: 1 }, `${SECRET}x`),
    ],
    ["jwt_malformed", "a signature that cannot be read", secretOnly, async () => withPart(await withSecret(), 2, "!")],
    ["jwt_malformed", "no JWT", secretOnly, () => "abc"],
    ["jwt_malformed", "dots only", secretOnly, () => ".."],
    ["jwt_malformed", "an encrypted one", secretOnly, () => "a.b.c.d.e"],
    ["jwt_malformed", "a header that cannot be read", secretOnly, async () => withPart(await withSecret(), 0, "e30x")],
    ["jwt_malformed", "an empty text", secretOnly, () => ""],
    ["jwt_malformed", "a huge one", secretOnly, () => withSecret({ ...CLAIMS, note: "x".repeat(20_000) })],
    ["jwt_malformed", "a huge text", secretOnly, () => "x".repeat(10_000_000)],
    [
      "jwt_malformed",
      "a header that must be understood and is not",
      secretOnly,
      () =>
        new SignJWT(CLAIMS)
          .setProtectedHeader({ alg: "HS256", crit: ["exp"], exp: 1 })
          .sign(new TextEncoder().encode(SECRET), { crit: { exp: true } }),
    ],
  ])("%s: refused with %s", async (code, _what, options, token) => {
    const store = sessions(options);
    const text = await token();
    expect(await store.verifyToken(text)).toBeUndefined();
    expect(store.refusals).toEqual([code]);
    const deps = {
      apiKeys: { verifyKey: async () => undefined },
      sessions: { ...store, verifySession: store.verifyToken },
    };
    // Outside there is one answer for all of them.
    expect(await resolvePrincipal({ token: text }, deps)).toEqual({ errorCode: "unauthenticated", status: 401 });
  });

  it("a token that is right but for its end says who it was, so that the client learns why", async () => {
    const store = sessions();
    const token = await withSecret({ ...CLAIMS, exp: NOW_S - 5 });
    expect(await store.verifyToken(token)).toEqual({ ...ANN, expiresAt: NOW });
    expect(store.refusals).toEqual(["jwt_expired"]);
    const deps = { apiKeys: { verifyKey: async () => undefined }, now: () => NOW };
    const all = { ...store, verifySession: store.verifyToken };
    expect(await resolvePrincipal({ token }, { ...deps, sessions: all })).toMatchObject({ errorCode: "token_expired" });
  });

  it("the tolerance counts once: a token is valid to its end and so much longer, not a moment more", async () => {
    let now = NOW;
    const store = sessions({ now: () => now, clockToleranceSeconds: 5 });
    const deps = { apiKeys: { verifyKey: async () => undefined }, now: () => now };
    const all = { ...store, verifySession: store.verifyToken };
    const token = await withSecret({ ...CLAIMS, exp: NOW_S + 10, nbf: NOW_S + 5 });
    for (const [at, expected] of [
      [0, { principal: { expiresAt: NOW + 15_000 } }],
      [14_999, { principal: { expiresAt: NOW + 15_000 } }],
      [15_000, { errorCode: "token_expired" }],
      [15_001, { errorCode: "token_expired" }],
    ] as const) {
      now = NOW + at;
      expect(await resolvePrincipal({ token }, { ...deps, sessions: all })).toMatchObject(expected);
    }
  });

  it("tokens that name no key are tried with those that fit, which may be several while keys are changed", async () => {
    const next = await generateKeyPair("ES256");
    const keys = [...published, { ...(await exportJWK(next.publicKey)), kid: "next" }];
    const store = sessions({ keys: keySet(keys) });
    expect(await store.verifyToken(await sign(CLAIMS, next.privateKey, { alg: "ES256" }))).toEqual(ANN);
    expect(await store.verifyToken(await sign(CLAIMS, ec.privateKey, { alg: "ES256" }))).toEqual(ANN);
    const wrong = await generateKeyPair("ES256");
    expect(await store.verifyToken(await sign(CLAIMS, wrong.privateKey, { alg: "ES256" }))).toBeUndefined();
    expect(store.refusals).toEqual(["jwt_signature"]);
  });

  it("keys that cannot be read are an outage, not a refusal", async () => {
    const store = sessions({ keys: new KeySet({ load: () => Promise.reject(new Error("away")) }) });
    await expect(store.verifyToken(await withRsa())).rejects.toThrow("away");
    expect(store.refusals).toEqual([]);
  });

  it("a secret that is too short for its algorithm is none", () => {
    expect(() => sharedSecret(SECRET.slice(1))).toThrow(TypeError);
    expect(() => sharedSecret(SECRET.slice(1))).not.toThrow(SECRET.slice(1));
  });
});
