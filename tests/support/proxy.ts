import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP proxy that breaks connections on demand: for tests of what happens between two processes. */
export interface TestProxy extends AsyncDisposable {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  /** How many connections it has accepted so far. */
  readonly connections: number;
  /** How many are open now. */
  readonly open: number;
  /** Destroys all open connections with a TCP reset; returns how many there were. */
  cut(): number;
  /**
   * Destroys all open connections once `bytes` further bytes have passed from that side; bytes beyond are not
   * delivered. Cuts in the middle of a message. Replaces an earlier one that has not come due; resolves when it cuts.
   */
  cutAfter(bytes: number, from: "client" | "server"): Promise<void>;
  /** Resolves when the next bytes from that side hold `text`. */
  passes(text: string, from: "client" | "server"): Promise<void>;
  /** While on, a new connection is destroyed at once (it still counts in `connections`). */
  refuse(on: boolean): void;
  /** Stops passing bytes, both ways, without closing anything. */
  pause(): void;
  resume(): void;
}

/** What becomes of one connection's bytes on their way; it may hold back what is not whole yet. */
export interface Passage {
  fromClient(chunk: Buffer): Buffer;
  fromServer(chunk: Buffer): Buffer;
}

const UNCHANGED: Passage = { fromClient: (chunk) => chunk, fromServer: (chunk) => chunk };

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

interface Fuse {
  bytes: number;
  readonly from: "client" | "server";
  readonly burnt: () => void;
}

interface Watcher {
  readonly text: string;
  readonly from: Fuse["from"];
  readonly seen: () => void;
}

/**
 * Starts a proxy to `target` (host 127.0.0.1 unless said). The target need not be there yet. Each connection's bytes go
 * through a passage of its own; without one they pass as they are.
 */
export async function startProxy(
  target: { host?: string; port: number },
  openPassage: () => Passage = () => UNCHANGED,
): Promise<TestProxy> {
  const links = new Set<Link>();
  let connections = 0;
  let refusing = false;
  let paused = false;
  let fuse: Fuse | undefined;
  const watchers = new Set<Watcher>();

  const cut = (): number => {
    const count = links.size;
    for (const { client, server } of links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
    links.clear();
    return count;
  };

  const pass = (from: Socket, to: Socket, side: Fuse["from"], change: (chunk: Buffer) => Buffer): void => {
    from.on("data", (arrived: Buffer) => {
      const chunk = change(arrived);
      if (chunk.length === 0) return;
      for (const watcher of [...watchers]) {
        if (watcher.from !== side || !chunk.includes(watcher.text)) continue;
        watchers.delete(watcher);
        watcher.seen();
      }
      if (fuse?.from === side) {
        fuse.bytes -= chunk.length;
        if (fuse.bytes <= 0) {
          const burnt = fuse.burnt;
          const rest = chunk.subarray(0, chunk.length + fuse.bytes);
          fuse = undefined;
          // The reset must not overtake the last bytes.
          to.write(rest, () => {
            cut();
            burnt();
          });
          from.pause();
          return;
        }
      }
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => {
      if (!paused) from.resume();
    });
  };

  const listener = createServer((client) => {
    connections++;
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ host: target.host ?? "127.0.0.1", port: target.port, noDelay: true });
    client.setNoDelay(true);
    const link = { client, server };
    links.add(link);
    const end = (): void => {
      links.delete(link);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.on("error", end);
      socket.on("close", end);
    }
    const passage = openPassage();
    pass(client, server, "client", (chunk) => passage.fromClient(chunk));
    pass(server, client, "server", (chunk) => passage.fromServer(chunk));
    if (paused) {
      client.pause();
      server.pause();
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");

  return {
    port: (listener.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    get open() {
      return links.size;
    },
    cut,
    cutAfter: (bytes, from) =>
      new Promise((burnt) => {
        fuse = { bytes, from, burnt };
      }),
    passes: (text, from) =>
      new Promise((seen) => {
        watchers.add({ text, from, seen });
      }),
    refuse: (on) => {
      refusing = on;
    },
    pause: () => {
      paused = true;
      for (const { client, server } of links) {
        client.pause();
        server.pause();
      }
    },
    resume: () => {
      paused = false;
      for (const { client, server } of links) {
        client.resume();
        server.resume();
      }
    },
    [Symbol.asyncDispose]: async () => {
      fuse = undefined;
      listener.close();
      cut();
      if (listener.listening) await once(listener, "close");
    },
  };
}
