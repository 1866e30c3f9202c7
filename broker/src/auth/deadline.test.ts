import { describe, expect, it } from "vitest";
import type { ApiKeyAuth, ChannelAccess, SessionStore } from "./adapters.ts";
import { authorizeChannel } from "./authorize-channel.ts";
import { AdapterTimeoutError, type Timed, withDeadline } from "./deadline.ts";
import type { ApiKeyPrincipal, SessionPrincipal } from "./principal.ts";
import { resolvePrincipal } from "./resolve-principal.ts";

const KEY: ApiKeyPrincipal = { type: "api_key", teamId: "t1", keyId: "k1", scopes: ["subscribe"] };
const USER: SessionPrincipal = { type: "session_user", teamId: "t1", userId: "ann", expiresAt: Date.UTC(2100, 0) };

/** Adapters that all answer by one function's leave; `this` has to be the adapter, as classes need it. */
function adapters(wait: () => Promise<unknown>): {
  apiKeys: ApiKeyAuth;
  sessions: SessionStore;
  access: ChannelAccess;
} {
  class Keys implements ApiKeyAuth {
    readonly #answer = KEY;
    verifyKey = async () => wait().then(() => this.#answer);
    onRevoked(): () => void {
      const answer = this.#answer;
      return () => answer;
    }
  }
  class Sessions implements SessionStore {
    readonly #answer = USER;
    async verifySession() {
      await wait();
      return this.#answer;
    }
    async verifyToken() {
      await wait();
      return this.#answer;
    }
  }
  class Access implements ChannelAccess {
    readonly #answer = "t1";
    async resolveSpecTeamId() {
      await wait();
      return this.#answer;
    }
    async resolveAgentTeamId() {
      await wait();
      return this.#answer;
    }
    onOwnerChanged(): () => void {
      const answer = this.#answer;
      return () => answer;
    }
  }
  return { apiKeys: new Keys(), sessions: new Sessions(), access: new Access() };
}

type All = Timed<ReturnType<typeof adapters>>;
const questions: [string, (timed: All) => Promise<unknown>][] = [
  ["verifyKey", ({ apiKeys }) => apiKeys.verifyKey("k")],
  ["verifySession", ({ sessions }) => sessions.verifySession("s")],
  ["verifyToken", ({ sessions }) => sessions.verifyToken("t")],
  ["resolveSpecTeamId", ({ access }) => access.resolveSpecTeamId("s")],
  ["resolveAgentTeamId", ({ access }) => access.resolveAgentTeamId("a")],
];

describe("adapters with a deadline", () => {
  it.each(questions)("%s answers as before where it is in time", async (name, ask) => {
    const timed = withDeadline(
      adapters(() => Promise.resolve()),
      60_000,
    );
    expect(await ask(timed)).toEqual({ verifyKey: KEY, verifySession: USER, verifyToken: USER }[name] ?? "t1");
  });

  it.each(questions)("%s that never answers has failed", async (name, ask) => {
    const timed = withDeadline(
      adapters(() => new Promise(() => undefined)),
      20,
    );
    await expect(ask(timed)).rejects.toThrow(AdapterTimeoutError);
    await expect(ask(timed)).rejects.toThrow(`${name} did not answer within 20 ms`);
  });

  it.each(questions)(
    "%s that answers late has failed, also where nobody was free to look at the clock",
    async (_name, ask) => {
      const stall = async () => {
        await Promise.resolve();
        // The answer is there before any timer can be.
        for (const until = performance.now() + 30; performance.now() < until; );
      };
      await expect(ask(withDeadline(adapters(stall), 10))).rejects.toThrow(AdapterTimeoutError);
    },
  );

  it.each(questions)("%s that throws, in whichever way, has failed with its own error", async (_name, ask) => {
    const timed = withDeadline(
      adapters(() => Promise.reject(new Error("away"))),
      60_000,
    );
    await expect(ask(timed)).rejects.toThrow("away");
    const throwing = () => {
      throw new Error("at once");
    };
    await expect(ask(withDeadline(adapters(throwing), 60_000))).rejects.toThrow("at once");
  });

  it("a late failure is nobody's: it does not end the process", async () => {
    let fail: (error: Error) => void = () => undefined;
    const timed = withDeadline(
      adapters(() => new Promise((_resolve, reject) => (fail = reject))),
      10,
    );
    await expect(timed.apiKeys.verifyKey("k")).rejects.toThrow(AdapterTimeoutError);
    const unhandled: unknown[] = [];
    const listener = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", listener);
    fail(new Error("late"));
    // Node tells of those that nobody handles once the promises of this turn are done.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", listener);
    expect(unhandled).toEqual([]);
  });

  it("[CONNECT-5] [SUBSCRIBE-7] whoever asked is refused: unavailable, not let in and not unknown", async () => {
    const timed = withDeadline(
      adapters(() => new Promise(() => undefined)),
      10,
    );
    for (const credentials of [{ apiKey: "kat_x" }, { token: "t" }, { sessionId: "s" }]) {
      expect(await resolvePrincipal(credentials, timed)).toEqual({ errorCode: "unavailable", status: 503 });
    }
    expect(await authorizeChannel("spec:s1", KEY, timed.access)).toEqual({ errorCode: "unavailable" });
  });

  it("keeps what the adapters can do besides, and adds nothing", () => {
    const { apiKeys, sessions, access } = withDeadline(
      adapters(() => Promise.resolve()),
      10,
    );
    expect(apiKeys.onRevoked?.(() => undefined)()).toBe(KEY);
    expect(access.onOwnerChanged?.(() => undefined)()).toBe("t1");
    expect(sessions).not.toHaveProperty("onRevoked");
    expect(Object.keys(withDeadline({ apiKeys }, 10))).toEqual(["apiKeys"]);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("%d is no deadline", (ms) => {
    expect(() => withDeadline({}, ms)).toThrow(TypeError);
  });
});
