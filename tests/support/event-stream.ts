import { EventSource } from "eventsource";
import { TEST_KEY } from "./broker.ts";

export interface StreamMessage {
  readonly type: string;
  readonly lastEventId: string;
  readonly data: {
    readonly payload: { readonly message: string; readonly recovery?: string; readonly reason?: string };
  };
}

/** A standard EventSource that keeps what it was handed. */
export interface TestEventSource extends Disposable {
  readonly messages: StreamMessage[];
  /** How often a connection was opened. */
  readonly opened: number;
  /** The bodies that came, as text. */
  readonly text: string;
  /** The messages of the events, in order. */
  events(): number[];
}

/** Opens one. The only thing that it is given is what browsers do by themselves: who it is. */
export function openEventSource(url: string): TestEventSource {
  const messages: StreamMessage[] = [];
  let opened = 0;
  let text = "";
  const decoder = new TextDecoder();
  const source = new EventSource(url, {
    fetch: async (target, init) => {
      const response = await fetch(target, { ...init, headers: { ...init.headers, "x-api-key": TEST_KEY } });
      const seen = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          text += decoder.decode(chunk, { stream: true });
          controller.enqueue(chunk);
        },
      });
      const { body, status, headers } = response;
      return { body: body?.pipeThrough(seen) ?? null, status, headers, url: response.url, redirected: false };
    },
  });
  const keep = ({ type, data, lastEventId }: MessageEvent) => {
    messages.push({ type, lastEventId, data: JSON.parse(data) as StreamMessage["data"] });
  };
  source.onopen = () => {
    opened++;
  };
  // EventSource hands a message to those who listen to its type, and to no other.
  for (const type of ["message", "subscribed", "caught_up"]) source.addEventListener(type, keep);
  return {
    messages,
    get opened() {
      return opened;
    },
    get text() {
      return text;
    },
    events: () => messages.filter(({ type }) => type === "message").map(({ data }) => Number(data.payload.message)),
    [Symbol.dispose]: () => source.close(),
  };
}
