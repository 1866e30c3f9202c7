import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import { ConfigError, loadBrokerConfig } from "./config.ts";
import { createConfiguredAuth } from "./configured-auth.ts";
import type { Logger } from "./logger.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const { publicKey, privateKey } = await generateKeyPair("ES256");
const JWKS = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "one" }] });
const CLAIMS = { sub: "ann", team_id: "t1", iss: "me", aud: "kata" };

const signed = (claims: object, expiry: string | number = "1h") =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "one" })
    .setExpirationTime(expiry)
    .sign(privateKey);
const withSecret = (claims: object, expiry: string | number = "1h") =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime(expiry)
    .sign(new TextEncoder().encode(SECRET));

/** A logger whose lines can be read. */
function rig() {
  const lines: unknown[][] = [];
  const write = (...line: unknown[]) => void lines.push(line);
  return { lines, logger: { debug: write, info: write, warn: write, error: write } as Logger };
}

describe("settings of who comes in", () => {
  it("ask for nothing by themselves", async () => {
    const { logger, lines } = rig();
    expect(await createConfiguredAuth(loadBrokerConfig({}), logger)).toEqual({});
    expect(lines).toEqual([]);
  });

  it.each([
    ["KATA_JWT_SECRET", SECRET.slice(1)],
    ["KATA_JWT_JWKS", "ftp://127.0.0.1/jwks.json"],
    ["KATA_JWT_JWKS", "https://user:pa55word@127.0.0.1/jwks.json"],
    ["KATA_AUTH_HOOK_URL", "/hook"],
    ["KATA_AUTH_HOOK_URL", "https://user:pa55word@127.0.0.1/"],
    ["KATA_AUTH_HOOK_SECRET", "pa55word with spaces"],
    ["KATA_AUTH_HOOK_CACHE_MS", "5s"],
    ["KATA_AUTH_TIMEOUT_MS", "0"],
    ["KATA_JWT_CLOCK_TOLERANCE_SECONDS", "301"],
    ["KATA_JWT_ISSUER", "me"],
    ["KATA_JWT_AUDIENCE", "kata"],
    ["KATA_JWT_TEAM_CLAIM", "org"],
    ["KATA_JWT_CLOCK_TOLERANCE_SECONDS", "5"],
    ["KATA_AUTH_HOOK_SECRET", "s3cret"],
    ["KATA_AUTH_HOOK_CACHE_MS", "1"],
  ])("%s=%s alone is refused in one line that names it and not the value", (name, value) => {
    const load = () => loadBrokerConfig({ [name]: value });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(new RegExp(`^${name} [^\n]+$`));
    for (const secret of ["pa55word", "s3cret", SECRET.slice(1)]) expect(load).not.toThrow(new RegExp(secret));
  });

  it("a secret and public keys exclude each other", () => {
    const load = () => loadBrokerConfig({ KATA_JWT_SECRET: SECRET, KATA_JWT_JWKS: "jwks.json" });
    expect(load).toThrow(/^KATA_JWT_SECRET and KATA_JWT_JWKS exclude each other[^\n]+$/);
    expect(load).not.toThrow(new RegExp(SECRET));
  });

  it("verify tokens with a secret, an issuer, an audience, a claim and a tolerance; the log says why not", async () => {
    const { logger, lines } = rig();
    const config = loadBrokerConfig({
      KATA_JWT_SECRET: SECRET,
      KATA_JWT_ISSUER: "me",
      KATA_JWT_AUDIENCE: "kata",
      KATA_JWT_TEAM_CLAIM: "org",
      KATA_JWT_CLOCK_TOLERANCE_SECONDS: "0",
    });
    const { jwt, hook } = await createConfiguredAuth(config, logger);
    expect(hook).toBeUndefined();
    const claims = { ...CLAIMS, org: "t2" };
    const exp = Math.floor(Date.now() / 1_000) + 3_600;
    expect(await jwt?.verifyToken(await withSecret(claims, exp))).toEqual({
      type: "session_user",
      teamId: "t2",
      userId: "ann",
      expiresAt: exp * 1_000,
    });
    expect(lines).toEqual([]);
    const refused = await Promise.all([
      withSecret({ ...claims, iss: "you" }),
      withSecret({ ...claims, aud: "you" }),
      withSecret(CLAIMS),
      signed(claims),
    ]);
    for (const token of [...refused, ...refused]) expect(await jwt?.verifyToken(token)).toBeUndefined();
    expect(lines).toEqual(
      ["jwt_issuer", "jwt_audience", "jwt_claims", "jwt_algorithm"].map((code) => [
        { code, count: 1 },
        "refused a session token",
      ]),
    );
  });

  it("verify tokens with keys in a file; one that cannot be used ends the start in one line", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kata-configured-"));
    const file = join(directory, "jwks.json");
    const { logger } = rig();
    const create = () => createConfiguredAuth(loadBrokerConfig({ KATA_JWT_JWKS: file }), logger);
    try {
      await expect(create()).rejects.toThrow(/^KATA_JWT_JWKS cannot be used: the key set cannot be read \(ENOENT\)$/);
      await writeFile(file, "{");
      await expect(create()).rejects.toThrow(ConfigError);
      await writeFile(file, JWKS);
      expect(await (await create()).jwt?.verifyToken(await signed(CLAIMS))).toMatchObject({ userId: "ann" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("verify tokens with keys at an address that may be away at the start; what is missing is said", async () => {
    const { logger, lines } = rig();
    const server = createServer((_request, response) => response.end(JWKS));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const create = (env: Record<string, string>) => createConfiguredAuth(loadBrokerConfig(env), logger);
      const url = `http://127.0.0.1:${port}/jwks`;
      const { jwt } = await create({ KATA_JWT_JWKS: url, KATA_JWT_AUDIENCE: "kata" });
      expect(await jwt?.verifyToken(await signed(CLAIMS))).toMatchObject({ userId: "ann" });
      expect(lines).toEqual([]);
      server.close();
      server.closeAllConnections();
      const away = await create({ KATA_JWT_JWKS: url });
      expect(lines).toEqual([[expect.stringMatching(/^KATA_JWT_AUDIENCE is not set: /)]]);
      await expect(away.jwt?.verifyToken(await signed(CLAIMS))).rejects.toMatchObject({ code: "fetch_unreachable" });
      expect(lines[1]?.[0]).toEqual({ reason: "cannot be reached (ECONNREFUSED)" });
    } finally {
      server.close();
    }
  });

  it("ask the application, with its secret, and believe it for as long as they say", async () => {
    const asked: unknown[] = [];
    const server = createServer((request, response) => {
      asked.push(request.headers.authorization);
      response.end('{"teamId":"t1"}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const config = loadBrokerConfig({
        KATA_AUTH_HOOK_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        KATA_AUTH_HOOK_SECRET: "s3cret",
        KATA_AUTH_HOOK_CACHE_MS: "0",
      });
      const { hook, jwt } = await createConfiguredAuth(config, rig().logger);
      expect(jwt).toBeUndefined();
      for (let n = 0; n < 2; n++) expect(await hook?.resolveSpecTeamId("s1")).toBe("t1");
      expect(asked).toEqual(["Bearer s3cret", "Bearer s3cret"]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
