import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { authorizeChannel } from "./authorize-channel.ts";
import type { Principal } from "./principal.ts";
import { resolvePrincipal } from "./resolve-principal.ts";

const SECRET = 'kat_live_abc_0123456789abcdef"SECRET/ö';

/** As an HTTP client throws them: with the whole request. */
const withRequest = () =>
  Object.assign(new Error("Request failed with status code 500"), {
    name: "AxiosError",
    code: "ERR_BAD_RESPONSE",
    config: { url: "https://auth.example/verify", data: JSON.stringify({ key: SECRET }), headers: { "x-own": SECRET } },
  });
const thrown: readonly (readonly [string, () => unknown])[] = [
  ["an HTTP client's error", withRequest],
  ["a text", () => `no answer for ${SECRET}`],
  ["an object", () => ({ key: SECRET, toString: () => SECRET })],
  ["nothing", () => undefined],
  ["an error that names it", () => new Error(`no answer for ${SECRET}`)],
  ["one whose name and code are it", () => Object.assign(new Error("x"), { name: SECRET, code: SECRET })],
  ["one that names a URL with it", () => new Error(`GET /keys/${encodeURIComponent(SECRET)} failed`)],
  ["one that names a body with it", () => new Error(`POST ${JSON.stringify({ key: SECRET })} failed`)],
  ["one with a cause", () => new Error("failed", { cause: Object.assign(new Error(SECRET), { input: SECRET }) })],
  ["several in one", () => new AggregateError([new Error(`key ${SECRET}`), withRequest()], "all failed")],
  ["one whose message is no text", () => Object.assign(new Error("x"), { message: { key: SECRET }, stack: [SECRET] })],
];

/** Everything that can be seen of it, hidden properties and prototypes included. */
const all = (error: unknown) => inspect(error, { depth: 10, showHidden: true, getters: true });

describe("what is told of an adapter that threw", () => {
  it.each(thrown)("holds no credential: %s", async (_what, error) => {
    const told: unknown[] = [];
    const fail = () => Promise.reject(error());
    const deps = {
      apiKeys: { verifyKey: fail },
      sessions: { verifyToken: fail, verifySession: fail },
      onAdapterError: (_adapter: string, each: unknown) => told.push(each),
    };
    for (const credentials of [{ apiKey: SECRET }, { token: SECRET }, { sessionId: SECRET }]) {
      expect(await resolvePrincipal(credentials, deps)).toMatchObject({ errorCode: "unavailable" });
    }
    expect(told).toHaveLength(3);
    for (const each of told) {
      expect(each).toBeInstanceOf(Error);
      for (const form of [SECRET, JSON.stringify(SECRET).slice(1, -1), encodeURIComponent(SECRET)]) {
        expect(all(each)).not.toContain(form);
      }
    }
  });

  it("says what went wrong, and where", async () => {
    const told: Error[] = [];
    const onAdapterError = (_adapter: string, error: unknown) => told.push(error as Error);
    const apiKeys = { verifyKey: () => Promise.reject(withRequest()) };
    await resolvePrincipal({ apiKey: SECRET }, { apiKeys, onAdapterError });
    expect(told[0]).toMatchObject({
      name: "AxiosError",
      message: "Request failed with status code 500",
      code: "ERR_BAD_RESPONSE",
      stack: expect.stringContaining("withRequest"),
    });
  });

  it("is told of a credential, too, that no URL can hold", async () => {
    const told: unknown[] = [];
    const token = "half \ud800";
    const sessions = {
      verifyToken: () => Promise.reject(new Error(`no ${token}`)),
      verifySession: () => Promise.reject(),
    };
    const deps = { apiKeys: { verifyKey: () => Promise.reject() }, sessions };
    const resolution = await resolvePrincipal(
      { token },
      { ...deps, onAdapterError: (_adapter, each) => told.push(each) },
    );
    expect(resolution).toMatchObject({ errorCode: "unavailable" });
    expect(told).toMatchObject([{ message: "no [redacted]" }]);
  });

  it("holds nothing of what it was asked with about a channel", async () => {
    const told: unknown[] = [];
    const principal: Principal = { type: "api_key", teamId: "t1", keyId: "k", scopes: [] };
    const fail = () => Promise.reject(withRequest());
    const access = { resolveSpecTeamId: fail, resolveAgentTeamId: fail };
    await authorizeChannel("spec:s1", principal, access, (_adapter, error) => told.push(error));
    expect(told).toMatchObject([{ message: "Request failed with status code 500" }]);
    expect(all(told[0])).not.toContain(SECRET);
  });
});
