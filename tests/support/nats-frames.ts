/** One message or control line of the NATS protocol. */
export interface NatsFrame {
  /** In capitals: `MSG`, `PING`, `+OK` … */
  readonly verb: string;
  /** Everything of it, line ends included. */
  readonly bytes: Buffer;
  /** Of MSG, HMSG, PUB and HPUB; empty for the others. */
  readonly subject: string;
  /** Of HMSG and HPUB; empty for the others. */
  readonly headers: Buffer;
  /** Of MSG, HMSG, PUB and HPUB, without headers; empty for the others. */
  readonly payload: Buffer;
}

const CRLF = "\r\n";
const EMPTY = Buffer.alloc(0);
const WITH_PAYLOAD = new Set(["MSG", "HMSG", "PUB", "HPUB"]);
const VERBS = new Set([...WITH_PAYLOAD, "INFO", "CONNECT", "SUB", "UNSUB", "PING", "PONG", "+OK", "-ERR"]);

/** Puts one side's bytes together to whole frames, however TCP has cut them. */
export class NatsFrameReader {
  #chunks: Buffer[] = [];
  #length = 0;
  /** How many bytes it takes before looking again can find anything new. */
  #needed = 1;

  /**
   * Takes the next bytes and returns the frames that became whole with them.
   *
   * @throws Error for what is no NATS protocol (a TLS handshake, for one)
   */
  push(chunk: Buffer): NatsFrame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#needed) return [];
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const frames: NatsFrame[] = [];
    for (;;) {
      const found = frameAt(rest);
      if (typeof found === "number") {
        this.#needed = found;
        break;
      }
      frames.push(found);
      rest = rest.subarray(found.bytes.length);
    }
    this.#chunks = [rest];
    this.#length = rest.length;
    return frames;
  }
}

/** The frame at the start of `bytes`, or how many bytes have to be there before it can be one. */
function frameAt(bytes: Buffer): NatsFrame | number {
  const lineEnd = bytes.indexOf(CRLF);
  if (lineEnd < 0) return bytes.length + 1;
  const [word = "", ...args] = bytes.toString("latin1", 0, lineEnd).split(/[ \t]+/);
  const verb = word.toUpperCase();
  if (!VERBS.has(verb)) throw new Error(`no NATS protocol: ${JSON.stringify(word.slice(0, 80))}`);
  const start = lineEnd + CRLF.length;
  if (!WITH_PAYLOAD.has(verb)) {
    return { verb, bytes: bytes.subarray(0, start), subject: "", headers: EMPTY, payload: EMPTY };
  }
  const end = start + Number(args.at(-1));
  const whole = end + CRLF.length;
  if (bytes.length < whole) return whole;
  const headersEnd = verb.startsWith("H") ? start + Number(args.at(-2)) : start;
  return {
    verb,
    bytes: bytes.subarray(0, whole),
    subject: args[0] ?? "",
    headers: bytes.subarray(start, headersEnd),
    payload: bytes.subarray(headersEnd, end),
  };
}
