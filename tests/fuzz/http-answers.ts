/** One answer as it came. */
export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether the broker says that it will close. */
  readonly last: boolean;
}

const END_OF_HEAD = "\r\n\r\n";

/** Takes the bytes of a connection apart into answers [HTTP-2]. What is none is an error, and so is what nobody asked for. */
export class HttpAnswers {
  readonly answers: HttpAnswer[] = [];
  #buffered: Buffer = Buffer.alloc(0);
  /** The methods of requests that were not answered, oldest first: an answer to HEAD has no body. */
  readonly #methods: string[] = [];

  asked(method: string): void {
    this.#methods.push(method);
  }

  /** Bytes of an answer that is not whole, as text: of a stream, what came so far. */
  get rest(): string {
    return this.#buffered.toString("latin1");
  }

  get unanswered(): number {
    return this.#methods.length;
  }

  /** @throws Error if the bytes are no answer */
  take(bytes: Buffer): void {
    this.#buffered = Buffer.concat([this.#buffered, bytes]);
    while (this.#next()) {}
  }

  /** The connection has ended: a body without a length ends with it. */
  end(): void {
    if (this.#buffered.length > 0) this.#next(true);
  }

  #next(ended = false): boolean {
    const end = this.#buffered.indexOf(END_OF_HEAD);
    if (end < 0) return false;
    const head = this.#buffered.toString("latin1", 0, end);
    const [first = "", ...lines] = head.split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) [A-Z]/.exec(first)?.[1]);
    if (Number.isNaN(status)) throw new Error(`this is no answer: ${head.slice(0, 200)}`);
    const from = end + END_OF_HEAD.length;
    if (status === 100) {
      this.#buffered = this.#buffered.subarray(from);
      return true;
    }
    if (this.#methods.length === 0) throw new Error(`nobody asked for ${head.slice(0, 200)}`);
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(":");
        if (colon < 1) throw new Error(`this is no header: ${line}`);
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const last = headers.connection?.toLowerCase() === "close";
    const bodiless = this.#methods[0] === "HEAD" || status === 204;
    let length = bodiless ? 0 : Number(headers["content-length"] ?? Number.NaN);
    if (Number.isNaN(length)) {
      // The HTTP layer's own pages have none, and end with the connection; a stream is looked at as it comes.
      if (!ended || headers["transfer-encoding"] !== undefined) return false;
      length = this.#buffered.length - from;
    }
    if (this.#buffered.length < from + length) return false;
    this.#methods.shift();
    const body = this.#buffered.toString("utf8", from, from + length);
    this.#buffered = this.#buffered.subarray(from + length);
    this.answers.push({ status, headers, body, last });
    return this.#buffered.length > 0;
  }
}
