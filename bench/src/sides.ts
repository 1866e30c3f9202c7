import { createPublisher, type Publisher } from "@kata/publisher";
import { type Herd, type HerdStatus, type Subprotocol, startHerd } from "../../tests/support/herd.ts";
import { type BareServer, startBareServer } from "./bare.ts";
import { type Servers, startServers } from "./servers.ts";

/** The channel of all scenarios with a herd. */
export const CHANNEL = "agent:bench";

/** Kata and the bare server side by side, each with as many readers. */
export interface Sides extends AsyncDisposable {
  readonly servers: Servers;
  readonly publisher: Publisher;
  readonly kataHerd: Herd;
  readonly bare: BareServer;
  readonly bareHerd: Herd;
  /** @throws Error unless both gave every reader so many events, each once and in order, and the same bytes */
  verify(eventsOfAReader: number): Promise<void>;
}

export interface SidesOptions {
  readonly protocol: Subprotocol;
  readonly readers: number;
  /** Environment variables of the broker. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts both; their readers are subscribed and due for event 0. */
export async function startSides({ protocol, readers, settings = {} }: SidesOptions): Promise<Sides> {
  const started: AsyncDisposable[] = [];
  const dispose = async () => {
    for (let each = started.pop(); each !== undefined; each = started.pop()) await each[Symbol.asyncDispose]();
  };
  const start = async <T extends AsyncDisposable>(starting: Promise<T>): Promise<T> => {
    const one = await starting;
    started.push(one);
    return one;
  };
  try {
    const servers = await start(startServers(settings));
    const bare = await start(startBareServer(servers.brokerNatsUrl, protocol));
    const plan = { apiKey: servers.apiKey, protocol, channels: Array.from({ length: readers }, () => CHANNEL) };
    const kataHerd = await start(startHerd({ ...plan, port: servers.port }));
    const bareHerd = await start(startHerd({ ...plan, port: bare.port }));
    const publisher = await start(createPublisher({ servers: servers.natsUrl, apiKey: servers.apiKey }));
    await kataHerd.subscribe();
    await bareHerd.subscribe();
    return {
      servers,
      publisher,
      kataHerd,
      bare,
      bareHerd,
      verify: async (events) => compare(events, readers, await kataHerd.status(), await bareHerd.status()),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function compare(eventsOfAReader: number, readers: number, kata: HerdStatus, bare: HerdStatus): void {
  const whole = ({ events, fewest, wrong, gaps }: HerdStatus) =>
    events === eventsOfAReader * readers && fewest === eventsOfAReader && wrong === 0 && gaps === 0;
  if (whole(kata) && whole(bare) && kata.bytes === bare.bytes && kata.digest === bare.digest) return;
  throw new Error(`not the same: ${JSON.stringify({ eventsOfAReader, readers, kata, bare })}`);
}
