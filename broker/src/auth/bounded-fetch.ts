/** Why nothing usable came back. */
export type FetchFailure = "fetch_timeout" | "fetch_unreachable" | "fetch_too_large";

/** A request that was not answered as it has to be. The message says nothing of the address, the headers or the body. */
export class BoundedFetchError extends Error {
  readonly code: FetchFailure;
  constructor(code: FetchFailure, message: string) {
    super(message);
    this.name = "BoundedFetchError";
    this.code = code;
  }
}

export interface BoundedRequest {
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** For the whole of it, the answer's body included, milliseconds. */
  readonly timeoutMs: number;
  /** Of the answer's body, once it is unpacked. */
  readonly maxBytes: number;
}

export interface BoundedAnswer {
  readonly status: number;
  readonly body: string;
}

/** How a connection ends that was kept from an earlier request, and that the other side has given up meanwhile. */
const CONNECTION_ENDED: readonly unknown[] = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];

/**
 * A question whose time and answer are bounded; asking it twice must do no harm. A redirect is not followed, it is an
 * answer as any other: it could lead a secret to somebody else.
 *
 * @throws BoundedFetchError
 */
export async function boundedFetch(url: string, request: BoundedRequest): Promise<BoundedAnswer> {
  const { timeoutMs } = request;
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  try {
    return await ask(url, request, controller.signal).catch((error: unknown) => {
      // Nobody may have heard the question: once more, on another connection.
      if (CONNECTION_ENDED.includes(codeOf(error))) return ask(url, request, controller.signal);
      throw error;
    });
  } catch (error) {
    if (error instanceof BoundedFetchError) throw error;
    if (controller.signal.aborted) throw new BoundedFetchError("fetch_timeout", `no answer within ${timeoutMs} ms`);
    throw new BoundedFetchError("fetch_unreachable", `cannot be reached (${codeOf(error) ?? "the request failed"})`);
  } finally {
    clearTimeout(timer);
  }
}

async function ask(url: string, request: BoundedRequest, signal: AbortSignal): Promise<BoundedAnswer> {
  const { method = "GET", headers = {}, body, maxBytes } = request;
  const response = await fetch(url, {
    method,
    headers: { accept: "application/json", ...headers },
    redirect: "manual",
    signal,
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, body: await readText(response, maxBytes) };
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early gives the rest of the answer up.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new BoundedFetchError("fetch_too_large", `the answer has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The system's short word (`ECONNREFUSED`) where there is one. */
function codeOf(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : undefined;
}
