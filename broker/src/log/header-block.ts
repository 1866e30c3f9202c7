import type { Msg } from "@nats-io/transport-node";

/**
 * A message's headers, read from their bytes. Whoever may publish may write there what the client library refuses to
 * read (it throws), and nats-server stores it all the same: here a line that is no header is passed over.
 */
export class HeaderBlock {
  readonly #lines: readonly string[];

  constructor(bytes: Uint8Array) {
    this.#lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8").split("\r\n");
  }

  /** The code of a message that is a status (`NATS/1.0 404 …`), `undefined` for one that is not. */
  get status(): number | undefined {
    const match = /^NATS\/1\.0[ \t]+(\d{3})/.exec(this.#lines[0] ?? "");
    return match === null ? undefined : Number(match[1]);
  }

  /** What the server says about the status. */
  get description(): string {
    return (this.#lines[0] ?? "").replace(/^NATS\/1\.0[ \t]+\d{3}[ \t]*/, "");
  }

  /** The first value of a header, empty if there is none. */
  first(name: string): string {
    for (const line of this.#lines) {
      if (line.startsWith(name) && line[name.length] === ":") return line.slice(name.length + 1).trim();
    }
    return "";
  }

  /**
   * The last value of a header, empty if there is none. What the server appends comes after anything that a publisher
   * sent under the same name: only the last one is the server's word.
   */
  last(name: string): string {
    for (let i = this.#lines.length - 1; i > 0; i--) {
      const line = this.#lines[i] as string;
      if (line.startsWith(name) && line[name.length] === ":") return line.slice(name.length + 1).trim();
    }
    return "";
  }

  /** The last value of a header that is a whole number, `undefined` if it is none. */
  lastNumber(name: string): number | undefined {
    const text = this.last(name);
    return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }
}

const NONE = new HeaderBlock(new Uint8Array());

/** What the client library keeps of a message: the received bytes, and how many of them are headers (-1: none). */
interface Received {
  readonly _msg: { readonly hdr: number };
  readonly _rdata: Uint8Array;
}

/** The headers of a received message. Its `headers` property is not asked: it throws on what it does not like. */
export function headersOf(msg: Msg): HeaderBlock {
  const { _msg, _rdata } = msg as unknown as Received;
  return _msg.hdr > 0 ? new HeaderBlock(_rdata.subarray(0, _msg.hdr)) : NONE;
}
