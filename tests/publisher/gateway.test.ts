import { createServer, request, type Server, type ServerResponse } from "node:http";
import { createPublisher } from "@kata/publisher";
import { expect, onTestFinished, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, KEY, numbersOf } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

/** What stands between: it passes a request on, or answers by itself, also where it has passed it on. */
interface Gateway {
  readonly url: string;
  readonly posts: number;
  /** Answers so many publishes by itself, with its own words. */
  answer(times: number, how: Words, passesOn?: boolean): void;
}

async function startGateway(port: number): Promise<Gateway> {
  let times = 0;
  let posts = 0;
  let passesOn = false;
  let how: Words = () => undefined;
  const server: Server = createServer((req, res) => {
    const posting = req.method === "POST";
    if (posting) posts++;
    const own = posting && times > 0;
    if (own) times--;
    if (own && !passesOn) {
      req.resume().on("end", () => how(res));
      return;
    }
    const path = (req.url ?? "").replace(/^\/kata/, "");
    const onward = request({ host: "127.0.0.1", port, path, method: req.method, headers: req.headers }, (answer) => {
      if (own) return void answer.resume().on("end", () => how(res));
      res.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(res);
    });
    onward.on("error", () => res.destroy());
    req.pipe(onward);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}/kata`,
    get posts() {
      return posts;
    },
    answer: (count, words, onwards = false) => {
      times = count;
      how = words;
      passesOn = onwards;
    },
  };
}

/** An answer. */
type Words = (res: ServerResponse) => void;

function page(status: number): Words {
  return (res) => {
    res.writeHead(status, { "content-type": "text/html" }).end("<h1>Sorry</h1>");
  };
}

/** As other programs answer, which have errors with codes, too. */
function json(status: number, error: object): Words {
  return (res) => {
    res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ error }));
  };
}

const halfAnAnswer: Words = (res) => {
  res.writeHead(201, { "content-length": "100" }).write('{"fir');
};

const ANSWERS: readonly (readonly [string, Words, boolean])[] = [
  ["404 of its own", page(404), false],
  ["404 although the broker has stored it", page(404), true],
  ["a page with 200", page(200), false],
  ["a page with 200 although the broker has stored it", page(200), true],
  ["403 of its own", page(403), false],
  ["404 as JSON with a code of its own", json(404, { code: "ResourceNotFound", message: "m" }), false],
  [
    "404 as JSON with a code of its own although it is stored",
    json(404, { code: "ResourceNotFound", message: "m" }),
    true,
  ],
  ["403 as JSON with a code of its own", json(403, { code: "RequestBlocked", message: "m" }), true],
  ["401 as JSON with a code that a broker has", json(401, { code: "unauthenticated", message: "no token" }), false],
  ["400 as JSON with another status's code", json(400, { code: "too_large", message: "m", retryable: false }), true],
  ["409 as JSON without a message", json(409, { code: "taken", retryable: false }), true],
  ["502", page(502), true],
  ["201 without a body", (res) => void res.writeHead(201).end(), true],
  ["half an answer", halfAnAnswer, true],
  ["nothing, and closes", (res) => void res.destroy(), true],
];

test.each(ANSWERS)(
  "[HTTP-2] a gateway that answers %s is asked again: the event is stored once",
  async (_, how, passesOn) => {
    await using rig = await createRig({ way: "http" });
    const gateway = await startGateway(rig.proxy.port);
    const publisher = await createPublisher({ url: gateway.url, apiKey: KEY, ackTimeoutMs: 500 });
    gateway.answer(2, how, passesOn);
    const published = await Promise.all([0, 1].map((i) => publisher.publish("agent:a1", event(i))));
    expect(published.map(({ duplicate }) => duplicate)).toEqual([false, false]);
    const keyed = await publisher.publish("agent:a1", { ...event(2), idempotencyKey: "k" });
    expect(keyed.duplicate).toBe(false);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 2]);
    expect(gateway.posts).toBe(4);
    await publisher.close();
  },
);

test("one that never lets anything through: unknown, since what it did with it is not known", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig.proxy.port);
  const publisher = await createPublisher({ url: gateway.url, apiKey: KEY, publishTimeoutMs: 300 });
  gateway.answer(Number.POSITIVE_INFINITY, page(404), true);
  const lost = publisher.publish("agent:a1", event(0));
  await expect(lost).rejects.toMatchObject({ code: "unavailable", stored: "unknown" });
  await vi.waitFor(async () => expect(numbersOf(await readLog(rig.nc))).toEqual([0]));
  await publisher.close();
});

test("a URL of something else, and of nothing, is one clear line at the start", async () => {
  await using rig = await createRig({ way: "http" });
  const apiKey = KEY;
  const elsewhere = createPublisher({
    url: `http://127.0.0.1:${rig.proxy.port}/elsewhere`,
    apiKey,
    connectTimeoutMs: 300,
  });
  await expect(elsewhere).rejects.toMatchObject({ code: "unavailable", message: expect.stringContaining("no broker") });
  const other = createServer((_, res) => json(401, { code: "unauthenticated", message: "no token" })(res));
  await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void other.close());
  const url = `http://127.0.0.1:${(other.address() as { port: number }).port}`;
  await expect(createPublisher({ url, apiKey, connectTimeoutMs: 300 })).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("answered 401: what answers there is no broker"),
  });
  const wrong = createPublisher({ url: `http://127.0.0.1:${rig.proxy.port}`, apiKey: "kat_live_x_y" });
  await expect(wrong).rejects.toMatchObject({ code: "unauthenticated" });
});
