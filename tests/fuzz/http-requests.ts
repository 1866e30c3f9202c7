import fc from "fast-check";
import type { Random } from "../support/random.ts";
import { below, chance, damaged, noise, pick, weighted } from "./choice.ts";
import { CHANNELS, channelName, type Tokens } from "./commands.ts";
import { channelAnswer } from "./frame-oracle.ts";

/** A request as it is written, and the answers that are right. */
export interface Request {
  readonly method: string;
  readonly bytes: Buffer;
  /** `<status> <code>` of errors, `<status>` of the rest. Several where the protocol leaves it open, or more than one thing is wrong. */
  readonly answers: readonly string[];
  /** Answered in the same breath: another one may follow before it is answered. */
  readonly prompt: boolean;
}

type Who = "admin" | "reader" | "nobody";

const MAX_BODY_BYTES = 1024 * 1024;

/** Where streams of events go: their answer counts what is stored, and does not name it. */
export const STREAMED = "spec:streamed";

/** What the routes of the protocol take, by the first of their path's segments that tells them apart. */
interface Route {
  readonly methods: readonly string[];
  /** Undefined: known without looking at who asks. */
  readonly scope?: "admin" | "publish" | "subscribe";
}

interface Body {
  readonly bytes: Buffer;
  /** Answers where nothing else is wrong. */
  readonly answers: readonly string[];
}

/**
 * Makes HTTP requests that hold together, with anything at all in them. Heads are short: one of more than 4 KiB is refused (431)
 * where it comes in pieces, and whether it does is the network's.
 */
export class RequestSource {
  readonly #random: Random;
  readonly #tokens: Tokens;
  readonly #readerKey: string;
  readonly #own: number;
  readonly #texts: readonly string[];
  readonly #json: readonly string[];
  readonly #events: readonly unknown[];
  /** Keys and sessions that were made, to be taken away. */
  readonly made: { readonly path: string }[] = [];

  constructor(random: Random, tokens: Tokens, readerKey: string) {
    this.#random = random;
    this.#tokens = tokens;
    this.#readerKey = readerKey;
    this.#own = below(random, 2 ** 31);
    const sample = <T>(arbitrary: fc.Arbitrary<T>, numRuns: number): T[] =>
      fc.sample(arbitrary, { numRuns, seed: below(random, 2 ** 31) });
    this.#texts = sample(fc.string({ unit: "binary", maxLength: 60 }), 500);
    this.#json = sample(fc.json({ stringUnit: "binary" }), 500);
    const payload = fc.oneof(fc.jsonValue(), fc.record({ message: fc.string({ unit: "binary" }) }));
    this.#events = sample(
      fc.record({
        type: fc.oneof(
          fc.constantFrom("own.type", "log_entry", "subscribed", "constructor", "__proto__", "Error"),
          fc.string({ maxLength: 140 }),
        ),
        payload: fc.option(payload, { nil: undefined }),
        timestamp: fc.constantFrom(undefined, "2026-01-02T03:04:05Z", "now", 5),
        idempotencyKey: fc.option(fc.string({ maxLength: 140 }), { nil: undefined }),
        more: fc.constantFrom(undefined, undefined, undefined, 1),
      }),
      1_000,
    );
  }

  next(): Request {
    const random = this.#random;
    return weighted<Request>(random, [
      [6, () => this.#plain(pick(random, ["/healthz", "/readyz", "/ws", "/", "/v1", "/metrics"]))],
      [6, () => this.#publish()],
      [4, () => this.#history()],
      [1, () => this.#stream()],
      [4, () => this.#keys()],
      [2, () => this.#sessions()],
      [3, () => this.#channels()],
      [4, () => this.#strangePath()],
    ]);
  }

  #publish(): Request {
    const named = this.#channel();
    const isStream = chance(this.#random, 0.3);
    const channel = isStream && named.wrong.length === 0 ? { written: STREAMED, wrong: [] } : named;
    return this.#request({
      path: `/v1/channels/${channel.written}/events`,
      methods: ["POST"],
      route: { methods: ["GET", "POST"], scope: "publish" },
      wrong: channel.wrong,
      body: isStream ? this.#linesBody() : this.#eventBody(),
      headers: isStream ? ["Content-Type: application/x-ndjson; charset=utf-8"] : [],
    });
  }

  #history(): Request {
    const channel = this.#channel();
    const query = this.#query([
      ["limit=1", true],
      ["limit=1000", true],
      ["after=0-0-0000", true],
      ["after=%00%ff", false],
      ["after=x", true],
      ["limit=0", false],
      ["limit=1001", false],
      ["limit=-1", false],
      ["limit=1e2", false],
      ["limit=", false],
      ["after=%zz", false],
      ["limit=1&limit=1", false],
      ["After=x", false],
      ["__proto__=x", false],
      ["constructor", false],
      [`after=${"x".repeat(500)}`, true],
    ]);
    return this.#request({
      path: `/v1/channels/${channel.written}/events${query.written}`,
      methods: ["GET"],
      route: { methods: ["GET", "POST"], scope: "subscribe" },
      wrong: [...channel.wrong, ...(query.good ? [] : ["400 bad_request"])],
      right: ["200"],
    });
  }

  #stream(): Request {
    const channel = this.#channel();
    const query = this.#query([
      ["rewind=all", true],
      ["rewind=5", true],
      ["rewind=5s", true],
      ["lastEventId=x", true],
      ["rewind=5x", false],
      ["rewind=-5", false],
      ["rewind=%", false],
      ["rewind=100001", false],
      ["lasteventid=x", false],
      ["lastEventId=x&lastEventId=x", false],
    ]);
    const header = chance(this.#random, 0.5) ? [`Last-Event-ID: ${this.#headerText()}`] : [];
    return this.#request({
      path: `/v1/channels/${channel.written}/stream${query.written}`,
      methods: ["GET"],
      route: { methods: ["GET"], scope: "subscribe" },
      wrong: [...channel.wrong, ...(query.good ? [] : ["400 bad_request"])],
      right: ["200"],
      headers: header,
    });
  }

  #keys(): Request {
    const random = this.#random;
    const admin = (methods: readonly string[]): Route => ({ methods, scope: "admin" });
    const id = encodeURIComponent(this.#wellFormed()).replace(/^\.\.?$/, "x") || "x";
    const made = chance(random, 0.05) ? this.made.pop() : undefined;
    if (made !== undefined) {
      const route = admin(["DELETE"]);
      return this.#request({ path: made.path, methods: ["DELETE"], route, right: ["204"], wrong: [], who: "admin" });
    }
    return weighted<Request>(random, [
      [2, () => this.#request({ path: "/v1/keys", methods: ["GET"], route: admin(["GET", "POST"]), right: ["200"] })],
      [
        4,
        () =>
          this.#request({ path: "/v1/keys", methods: ["POST"], route: admin(["GET", "POST"]), body: this.#keyBody() }),
      ],
      [
        2,
        () =>
          this.#request({
            path: `/v1/keys/${id}`,
            methods: ["DELETE"],
            route: admin(["DELETE"]),
            wrong: ["404 not_found"],
          }),
      ],
      [
        2,
        () =>
          this.#request({
            path: `/v1/keys/${id}/rotate`,
            methods: ["POST"],
            route: admin(["POST"]),
            wrong: ["404 not_found", "400 bad_request", "400 invalid_json"],
            body: this.#anyBody(),
          }),
      ],
    ]);
  }

  #sessions(): Request {
    const random = this.#random;
    const id = encodeURIComponent(this.#wellFormed()).replace(/^\.\.?$/, "x") || "x";
    const wish = { userId: "u", expiresAt: new Date(Date.now() + 60_000).toISOString() };
    const right = chance(random, 0.02);
    return chance(random, 0.5)
      ? this.#request({
          path: `/v1/sessions/${id}`,
          methods: ["DELETE"],
          route: { methods: ["DELETE"], scope: "admin" },
          wrong: ["404 not_found"],
        })
      : this.#request({
          path: "/v1/sessions",
          methods: ["POST"],
          route: { methods: ["POST"], scope: "admin" },
          body: right ? { bytes: Buffer.from(JSON.stringify(wish)), answers: ["201"] } : this.#anyBody(),
        });
  }

  #channels(): Request {
    const random = this.#random;
    const odd = this.#channel();
    // Names of its own: what comes of registering one that somebody else takes away at the same time is open.
    const own = `spec:own${this.#own}-${below(random, 20)}`;
    const channel =
      odd.wrong.length > 0 || odd.plain.startsWith("team") ? odd : { written: own, plain: own, wrong: [] };
    const isTeam = decodeURIComponent(channel.plain).startsWith("team:");
    return weighted<Request>(random, [
      [
        1,
        () =>
          this.#request({
            path: "/v1/channels",
            methods: ["GET"],
            route: { methods: ["GET"], scope: "admin" },
            right: ["200"],
          }),
      ],
      [
        2,
        () =>
          this.#request({
            path: `/v1/channels/${channel.written}`,
            methods: ["PUT"],
            route: { methods: ["PUT", "DELETE"], scope: "admin" },
            wrong: isTeam || channel.wrong.length > 0 ? ["400 invalid_channel"] : [],
            right: ["200", "201"],
          }),
      ],
      [
        2,
        () =>
          this.#request({
            path: `/v1/channels/${channel.written}`,
            methods: ["DELETE"],
            route: { methods: ["PUT", "DELETE"], scope: "admin" },
            wrong: channel.wrong.length > 0 ? ["404 not_found", "400 invalid_channel"] : [],
            right: ["204", "404 not_found"],
          }),
      ],
    ]);
  }

  #plain(path: string): Request {
    const routes: Readonly<Record<string, Route>> = {
      "/healthz": { methods: ["GET", "HEAD"] },
      "/readyz": { methods: ["GET"] },
    };
    const route = routes[path];
    const fixed = path === "/ws" ? "400 bad_request" : "404 not_found";
    return this.#request({
      path: path + (chance(this.#random, 0.2) ? `?${encodeURIComponent(this.#wellFormed())}` : ""),
      methods: ["GET", "HEAD", "POST"],
      ...(route === undefined ? { always: [fixed] } : { route, right: ["200"] }),
      prompt: path !== "/readyz",
    });
  }

  /** A path that is no route's, or nearly one's. */
  #strangePath(): Request {
    const random = this.#random;
    const bytes = weighted<Buffer>(random, [
      [3, () => damaged(random, Buffer.from(pick(random, NEARLY)))],
      [2, () => Buffer.from(pick(random, STRANGE))],
      [1, () => noise(random, below(random, 60))],
      [0.1, () => Buffer.alloc(1 + below(random, 1_000), 0x61)],
      [1, () => Buffer.from(`v1/channels/${percent(random, channelName(1))}/events`)],
    ]);
    // What ends the line or the path by HTTP's rules makes another request of it: that is for the broken ones.
    const path = Buffer.from(`/${bytes.toString("latin1").replace(/[^\u0021-\u007e\u0080-\u00ff]|#/g, "_")}`, "latin1");
    return this.#request({ path: path.toString("latin1"), methods: METHODS, always: ANYTHING });
  }

  #channel(): { written: string; plain: string; wrong: string[] } {
    const random = this.#random;
    const name = weighted(random, [
      [6, () => channelName(below(random, CHANNELS))],
      [
        1,
        () =>
          pick(random, ["team:other", "team:x", "spec:a b", "spec:", "agent:*", "nope", "spec:\u0000", "team:demo\n"]),
      ],
      [1, () => this.#wellFormed() || "x"],
    ]);
    const plain = encodeURIComponent(name);
    const written = pick(random, [plain, plain.replaceAll("%3A", ":"), percent(random, name)]);
    if (chance(random, 0.03)) {
      return {
        written: pick(random, ["%zz", "%", "%c3%28", "spec%3", "%ed%a0%80"]),
        plain: "x",
        wrong: ["400 invalid_channel"],
      };
    }
    const answer = channelAnswer(name);
    const wrong = answer === "subscribed" ? [] : [answer === "forbidden" ? "403 forbidden" : "400 invalid_channel"];
    return { written, plain, wrong };
  }

  #query(parts: readonly (readonly [text: string, good: boolean])[]): { written: string; good: boolean } {
    if (chance(this.#random, 0.4)) return { written: "", good: true };
    const [written, good] = pick(this.#random, parts);
    return { written: `?${written}`, good };
  }

  #eventBody(): Body {
    const random = this.#random;
    return weighted<Body>(random, [
      [
        6,
        () => {
          const events = Array.from({ length: 1 + below(random, 3) }, () => pick(random, this.#events));
          const json = JSON.stringify(chance(random, 0.5) ? events[0] : events);
          return jsonBody(chance(random, 0.3) ? damaged(random, Buffer.from(json)) : Buffer.from(json), [
            "201",
            "400 invalid_event",
          ]);
        },
      ],
      [2, () => ({ bytes: Buffer.from('{"type":"own.type","payload":{"message":"right"}}'), answers: ["201"] })],
      [2, () => this.#anyBody("400 invalid_event")],
      [0.02, () => large(random)],
    ]);
  }

  /** [HTTP-8] Lines of all kinds: what becomes of them is many things at once. */
  #linesBody(): Body {
    const random = this.#random;
    const line = (): Buffer =>
      weighted<Buffer>(random, [
        [6, () => Buffer.from(JSON.stringify(pick(random, this.#events)))],
        [3, () => Buffer.from('{"type":"own.type","payload":{"message":"right"}}')],
        [1, () => damaged(random, Buffer.from(JSON.stringify(pick(random, this.#events))))],
        [1, () => noise(random, below(random, 200))],
        [1, () => Buffer.from(pick(random, ["", " \r", "[", "null", "{}", "\u0000"]))],
        [0.02, () => Buffer.alloc(600_000, 0x5b)],
      ]);
    const lines = Array.from({ length: below(random, 6) }, line);
    const bytes = Buffer.concat(lines.flatMap((each) => [each, Buffer.from("\n")])).subarray(0, MAX_BODY_BYTES);
    return {
      bytes: chance(random, 0.2) ? bytes.subarray(0, -1) : bytes,
      answers: ["201", "207", "400 invalid_json", "400 invalid_event", "413 too_large"],
    };
  }

  #keyBody(): Body {
    const random = this.#random;
    if (chance(random, 0.02)) return { bytes: Buffer.from('{"scopes":["subscribe"]}'), answers: ["201"] };
    const bytes = Buffer.from(
      pick(random, [
        '{"scopes":[]}',
        '{"scopes":["root"]}',
        '{"scopes":["subscribe"],"channels":["*"]}',
        '{"scopes":["subscribe"],"expiresAt":"2001-01-01T00:00:00Z"}',
        '{"scopes":["subscribe"],"expiresAt":"+275760-09-13T00:00:00.001Z"}',
        '{"scopes":["subscribe"],"teamId":"other"}',
        `{"scopes":["subscribe"],"name":"${"x".repeat(201)}"}`,
        `{"scopes":[${'"admin",'.repeat(1_000)}"x"]}`,
        '{"scopes":{"__proto__":["admin"]}}',
      ]),
    );
    return jsonBody(bytes, ["400 bad_request"]);
  }

  #anyBody(code = "400 bad_request"): Body {
    const random = this.#random;
    return weighted<Body>(random, [
      [1, () => jsonBody(noise(random, 1 + below(random, 200)), [code])],
      [2, () => jsonBody(Buffer.from(pick(random, this.#json)), [code])],
      [1, () => jsonBody(Buffer.from("[".repeat(1 + below(random, 20_000))), [code])],
    ]);
  }

  #request(wish: {
    path: string;
    methods: readonly string[];
    route?: Route;
    /** Whatever else there is. */
    always?: readonly string[];
    /** What is wrong with the path or the query. */
    wrong?: readonly string[];
    right?: readonly string[];
    body?: Body;
    headers?: readonly string[];
    who?: Who;
    prompt?: boolean;
  }): Request {
    const random = this.#random;
    const method = wish.who === undefined && chance(random, 0.1) ? pick(random, METHODS) : pick(random, wish.methods);
    const { who, headers } = this.#credentials(wish.who);
    const body = wish.body ?? (chance(random, 0.05) && wish.right === undefined ? this.#anyBody() : undefined);
    const foreign = wish.route !== undefined && !wish.route.methods.includes(method);
    const meant = wish.methods.includes(method);
    // A browser may ask ahead with OPTIONS [CORS-2]; nobody here asks as one.
    const answers =
      method === "OPTIONS"
        ? ["405 method_not_allowed"]
        : (wish.always ?? this.#answers({ ...wish, body }, { who, foreign, meant }));
    const lines = [...headers, ...(wish.headers ?? []), ...this.#moreHeaders()];
    const chunked = body !== undefined && chance(random, 0.2);
    if (body !== undefined) lines.push(chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.bytes.length}`);
    const head = `${method} ${wish.path} HTTP/1.1\r\nHost: x\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
    const content = body === undefined ? Buffer.alloc(0) : chunked ? inChunks(random, body.bytes) : body.bytes;
    return {
      method,
      bytes: Buffer.concat([Buffer.from(head, "latin1"), content]),
      answers: answers.map((each) => (method === "HEAD" ? each.slice(0, 3) : each)),
      prompt: wish.prompt === true && body === undefined,
    };
  }

  #answers(
    {
      route,
      wrong = [],
      right,
      body,
    }: { route?: Route; wrong?: readonly string[]; right?: readonly string[]; body?: Body | undefined },
    { who, foreign, meant }: { who: Who; foreign: boolean; meant: boolean },
  ): readonly string[] {
    if (foreign) return ["405 method_not_allowed"];
    const tooLarge = body !== undefined && body.bytes.length > MAX_BODY_BYTES ? ["413 too_large"] : [];
    if (route?.scope === undefined) return right ?? ["200"];
    if (who === "nobody") return ["401 unauthenticated", ...tooLarge];
    // Another method of the same path, with what was meant for this one: whatever it makes of it is well made.
    if (!meant) return ANYTHING;
    const scoped = who === "admin" || route.scope === "subscribe" ? [] : ["403 forbidden"];
    const bad = [...scoped, ...wrong, ...tooLarge, ...(body?.answers.filter((each) => !each.startsWith("2")) ?? [])];
    const surely = scoped.length + wrong.length + tooLarge.length > 0;
    return surely ? bad : [...(body?.answers ?? right ?? []), ...bad];
  }

  #credentials(wanted: Who | undefined): { who: Who; headers: string[] } {
    const random = this.#random;
    const who =
      wanted ??
      weighted<Who>(random, [
        [5, () => "admin"],
        [1, () => "reader"],
        [3, () => "nobody"],
      ]);
    if (who === "nobody") {
      const { own } = this.#tokens;
      return {
        who,
        headers: weighted<string[]>(random, [
          [3, () => []],
          [1, () => [`X-API-Key: ${own.slice(0, -1)}`]],
          [1, () => [`X-API-Key: ${this.#headerText() || "x"}`]],
          [1, () => ["Authorization: Bearer a.b.c"]],
          [1, () => [`Authorization: Basic ${own}`]],
          // The first that is there counts [CONNECT-2].
          [1, () => ["X-API-Key: nope", `Authorization: Bearer ${own}`]],
          [1, () => [`Authorization: Bearer kat_${"x".repeat(below(random, 1_000))}`]],
          [1, () => [`Cookie: ${this.#headerText()}`]],
          [1, () => [`Sec-WebSocket-Protocol: kata.v1, bearer.${own}`]],
        ]),
      };
    }
    const key = who === "admin" ? this.#tokens.own : this.#readerKey;
    return {
      who,
      headers: [pick(random, [`X-API-Key: ${key}`, `authorization: Bearer ${key}`, `AUTHORIZATION: bearer ${key}`])],
    };
  }

  #moreHeaders(): string[] {
    const random = this.#random;
    if (chance(random, 0.6)) return [];
    return Array.from({ length: 1 + below(random, 4) }, () =>
      weighted<string>(random, [
        [2, () => `X-${below(random, 1_000)}: ${this.#headerText()}`],
        [
          1,
          () =>
            `Origin: ${pick(random, ["https://app.example.com", "https://evil.example", "null", this.#headerText()])}`,
        ],
        [1, () => "Expect: 100-continue"],
        [1, () => "Connection: keep-alive, x"],
        [1, () => `X-Forwarded-For: ${this.#headerText()}`],
        [0.1, () => `X-Long: ${"y".repeat(below(random, 300))}`],
        [1, () => "Content-Type: text/plain"],
        [1, () => "Accept-Encoding: gzip, br"],
      ]),
    );
  }

  /** What may stand in a header: no control characters. */
  #headerText(): string {
    const text = Buffer.from(pick(this.#random, this.#texts)).toString("latin1");
    return text.replace(/[^\u0020-\u007e\u0080-\u00ff]/g, "").trim();
  }

  #wellFormed(): string {
    return Buffer.from(pick(this.#random, this.#texts)).toString();
  }
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "FOO", "PROPFIND"];
const NEARLY = [
  "v1/keys",
  "v1/channels/spec:fuzz1/events",
  "v1/channels/spec:fuzz1/stream",
  "healthz",
  "readyz",
  "ws",
  "v1/sessions",
];
const STRANGE = [
  "/healthz",
  "healthz/",
  "./healthz",
  "x/../healthz",
  "v1//channels/spec:x/events",
  "v1/channels/../keys",
  "v1/channels/%2e%2e/keys",
  "v1/channels//events",
  "v1/channels/spec:x/events/",
  "V1/keys",
  "v1/%6beys",
  "v1/keys;x",
  "v1/keys/..%2f..%2f",
  "%2fhealthz",
  "*",
  "ws/",
  "metrics",
  ":channel",
  "v1/channels/:channel/events",
];
/** An odd path can be a known one, in the end: a 2xx or an error of the table, and always well made. */
const ANYTHING = [
  "200",
  "201",
  "204",
  "400 invalid_json",
  "400 invalid_event",
  "400 invalid_channel",
  "400 bad_request",
  "401 unauthenticated",
  "403 forbidden",
  "404 not_found",
  "405 method_not_allowed",
  "413 too_large",
] as const;

/** What a body leads to, where JSON decides. */
function jsonBody(bytes: Buffer, answers: readonly string[]): Body {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return { bytes, answers };
  } catch {
    return { bytes, answers: ["400 invalid_json"] };
  }
}

function large(random: Random): Body {
  const text = (length: number) => Buffer.from(`{"type":"own.type","payload":"${"x".repeat(length - 32)}"}`);
  return weighted<Body>(random, [
    [1, () => ({ bytes: text(100_000), answers: ["201"] })],
    [1, () => ({ bytes: text(MAX_BODY_BYTES), answers: ["400 invalid_event"] })],
    [1, () => ({ bytes: Buffer.alloc(MAX_BODY_BYTES, 0x5b), answers: ["400 invalid_json"] })],
    [1, () => ({ bytes: Buffer.from(`[${"0,".repeat(400_000)}0]`), answers: ["400 invalid_event"] })],
  ]);
}

function inChunks(random: Random, bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const part = bytes.subarray(at, at + 1 + below(random, Math.max(200, bytes.length / 3)));
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"));
    at += part.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** A text with some of its bytes, or all, as `%xx`. */
function percent(random: Random, text: string): string {
  const all = chance(random, 0.3);
  return [...Buffer.from(text)]
    .map((byte) => {
      const hex = `%${byte.toString(16).padStart(2, "0")}`;
      const safe = /[A-Za-z0-9:_-]/.test(String.fromCharCode(byte));
      return safe && !all && chance(random, 0.7)
        ? String.fromCharCode(byte)
        : chance(random, 0.5)
          ? hex
          : hex.toUpperCase();
    })
    .join("");
}
