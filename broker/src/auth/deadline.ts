import type { ApiKeyAuth, ChannelAccess, SessionStore } from "./adapters.ts";

export interface Adapters {
  readonly apiKeys?: ApiKeyAuth | undefined;
  readonly sessions?: SessionStore | undefined;
  readonly access?: ChannelAccess | undefined;
}

/** The adapters that are there, and nothing else that they can do. */
export type Timed<T extends Adapters> = {
  readonly [K in keyof T as K & keyof Adapters]:
    | Exclude<Adapters[K & keyof Adapters], undefined>
    | Extract<T[K], undefined>;
};

/** An adapter that did not answer in time: an outage as any other. */
export class AdapterTimeoutError extends Error {
  readonly code = "adapter_timeout";
  constructor(question: string, ms: number) {
    super(`${question} did not answer within ${ms} ms`);
    this.name = "AdapterTimeoutError";
  }
}

/**
 * The same adapters, with a deadline of `ms` milliseconds for every question. One that is late has failed, so whoever
 * asked is refused as during any outage; what it says later is not heard.
 *
 * @throws TypeError if `ms` is no positive number
 */
export function withDeadline<T extends Adapters>(adapters: T, ms: number): Timed<T> {
  if (!(Number.isFinite(ms) && ms > 0)) throw new TypeError("a deadline is a positive number of milliseconds");
  const { apiKeys, sessions, access } = adapters;
  const timed: Adapters = {
    ...(apiKeys && { apiKeys: timedApiKeys(apiKeys, ms) }),
    ...(sessions && { sessions: timedSessions(sessions, ms) }),
    ...(access && { access: timedAccess(access, ms) }),
  };
  return timed as Timed<T>;
}

function timedApiKeys(apiKeys: ApiKeyAuth, ms: number): ApiKeyAuth {
  return { verifyKey: (key) => inTime("verifyKey", ms, () => apiKeys.verifyKey(key)), ...revokes(apiKeys) };
}

function timedSessions(sessions: SessionStore, ms: number): SessionStore {
  return {
    verifySession: (id) => inTime("verifySession", ms, () => sessions.verifySession(id)),
    verifyToken: (token) => inTime("verifyToken", ms, () => sessions.verifyToken(token)),
    ...revokes(sessions),
  };
}

function timedAccess(access: ChannelAccess, ms: number): ChannelAccess {
  return {
    resolveSpecTeamId: (id) => inTime("resolveSpecTeamId", ms, () => access.resolveSpecTeamId(id)),
    resolveAgentTeamId: (id) => inTime("resolveAgentTeamId", ms, () => access.resolveAgentTeamId(id)),
    ...(access.onOwnerChanged && { onOwnerChanged: access.onOwnerChanged.bind(access) }),
  };
}

function revokes(adapter: ApiKeyAuth | SessionStore): Pick<ApiKeyAuth, "onRevoked"> {
  return adapter.onRevoked === undefined ? {} : { onRevoked: adapter.onRevoked.bind(adapter) };
}

async function inTime<T>(question: string, ms: number, ask: () => Promise<T>): Promise<T> {
  const until = performance.now() + ms;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AdapterTimeoutError(question, ms)), ms);
  });
  try {
    const answer = await Promise.race([ask(), late]);
    // A process that was held up can find the answer before it finds that the time is over.
    if (performance.now() > until) throw new AdapterTimeoutError(question, ms);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}
