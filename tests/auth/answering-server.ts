import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from "node:http";
import { freePort } from "../support/free-port.ts";

/** What came in. */
export interface Asked {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
};

/** An HTTP server of an application's, which answers as a test says. Dispose it with `await using`. */
export interface AnsweringServer extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
  /** What it answers from now on; one that never resolves leaves whoever asks waiting. */
  answer: (asked: Asked) => Answer | Promise<Answer>;
  /** Nobody listens any more, and nobody is connected. */
  stop(): Promise<void>;
  /** Again, on the same port. */
  start(): Promise<void>;
}

export async function startAnsweringServer(answer: AnsweringServer["answer"]): Promise<AnsweringServer> {
  const port = await freePort();
  let running: Server | undefined;
  const server: AnsweringServer = {
    url: `http://127.0.0.1:${port}/ask`,
    asked: [],
    answer,
    async stop() {
      const stopping = running;
      running = undefined;
      if (stopping === undefined) return;
      const closed = once(stopping, "close");
      stopping.close();
      stopping.closeAllConnections();
      await closed;
    },
    async start() {
      running = createServer(listener).listen(port, "127.0.0.1");
      await once(running, "listening");
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
  const listener: RequestListener = async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const asked = { method: request.method, path: request.url, headers: request.headers, body };
    server.asked.push(asked);
    const { status = 200, headers = {}, body: text = "" } = await server.answer(asked);
    response.writeHead(status, headers).end(text);
  };
  await server.start();
  return server;
}

export function json(value: unknown, status = 200): Answer {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}
