import { CLOSE, type ErrorPayload, type InboundCommand, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import { type Cancel, type Clock, MAX_TIMER_MS } from "./clock.ts";
import type { ConnectionChange, ConnectionCode } from "./connection-change.ts";
import {
  type ConnectionInput,
  type ConnectionPolicy,
  type ConnectionState,
  type ConnectionStatus,
  closeInput,
  INITIAL_CONNECTION,
  nextConnection,
  STATUS_OF,
} from "./connection-state.ts";
import { Credentials } from "./credentials.ts";
import { decode, type Incoming, linesOf, MalformedMessage } from "./decode.ts";
import { type Liveness, startLiveness } from "./liveness.ts";
import { bearer, type Settings } from "./options.ts";
import type { OpenSocket, Socket } from "./socket.ts";
import type { TokenFailure } from "./token-source.ts";
import { isWarning, lastWord } from "./unasked.ts";

interface Why {
  readonly code: ConnectionCode;
  readonly reason: string;
  readonly closeCode?: number;
}

export interface ConnectionPorts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly openSocket: OpenSocket;
  /** Everything that comes from outside runs inside. */
  batch<T>(work: () => T): T;
  /** Runs what is the application's: in its turn, outside of `batch`. */
  tell(task: () => void): void;
}

/** What goes up. Called inside `batch`. */
export interface ConnectionListener {
  changed(change: ConnectionChange): void;
  /** Commands can be sent; the broker has not answered yet. */
  opened(): void;
  /** They can no more. */
  lost(): void;
  message(message: Incoming): void;
  /** The command to ping with. */
  ping(): InboundCommand;
  /** For a command of the connection's own. */
  nextId(): number;
  /** There is no fresh token; it is asked for again. @param detail what the broker said, where it was the broker that refused it */
  tokenFailed(failure: TokenFailure, detail?: ErrorPayload): void;
}

/** One connection to a broker, made again and again: socket, heartbeat, timers. What it should do next is decided in connection-state.ts. */
export class Connection {
  readonly #settings: Settings;
  readonly #ports: ConnectionPorts;
  readonly #listener: ConnectionListener;
  readonly #policy: ConnectionPolicy;
  readonly #credentials: Credentials;
  #state: ConnectionState = INITIAL_CONNECTION;
  #socket: Socket | undefined;
  #liveness: Liveness | undefined;
  #timer: Cancel = () => {};
  #refusal: ErrorPayload | undefined;

  constructor(settings: Settings, ports: ConnectionPorts, listener: ConnectionListener) {
    this.#settings = settings;
    this.#ports = ports;
    this.#listener = listener;
    this.#policy = { backoff: settings.backoff, random: ports.random };
    const { batch, tell } = ports;
    this.#credentials = new Credentials(settings.credentials, this.#policy, {
      clock: { after: (ms, run) => this.#after(ms, run) },
      batch,
      tell,
      offer: (token) => this.#offer(token),
      lasted: () => this.#apply({ type: "lasted" }, { code: "connected", reason: "the credentials last" }),
      failed: (failure, detail) => listener.tokenFailed(failure, detail),
    });
  }

  get status(): ConnectionStatus {
    return STATUS_OF[this.#state.step];
  }

  /** Whether commands can be sent. */
  get open(): boolean {
    return this.#state.step === "greeting" || this.#state.step === "connected";
  }

  connect(): void {
    this.#apply({ type: "connect" }, { code: "connect", reason: "connect() was called" });
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#apply({ type: "close" }, { code: "close", reason: "close() was called" });
  }

  /** Only while open. */
  send(command: InboundCommand): void {
    this.#socket?.send(JSON.stringify(command));
  }

  /** Gives the socket up because of what the broker said on it. */
  protocolError(reason: string): void {
    this.#apply({ type: "lost", blame: true }, { code: "protocol_error", reason });
  }

  #apply(input: ConnectionInput, why: Why): void {
    const before = this.#state;
    const after = nextConnection(before, input, this.#policy);
    if (after === before) return;
    this.#state = after;
    if (after.step === before.step) return;
    const previous = STATUS_OF[before.step];
    const status = STATUS_OF[after.step];
    if (status !== previous || after.step === "waiting") {
      this.#listener.changed({
        status,
        previous,
        ...why,
        ...(after.step === "waiting" ? { retryInMs: after.delayMs } : {}),
        ...(this.#refusal === undefined ? {} : { error: this.#refusal }),
      });
    }
    this.#enter(before, after);
  }

  #enter(before: ConnectionState, after: ConnectionState): void {
    if (after.step === "greeting") return this.#greet();
    this.#timer();
    if (after.step === "connected") return;
    const wasOpen = before.step === "greeting" || before.step === "connected";
    this.#release();
    if (wasOpen) this.#listener.lost();
    if (after.step === "waiting") {
      this.#timer = this.#after(Math.min(after.delayMs, MAX_TIMER_MS), () => this.#due());
    }
    if (after.step === "fetching") this.#fetch();
  }

  #due(): void {
    this.#apply({ type: "due" }, { code: "connect", reason: "the wait is over" });
  }

  #release(): void {
    this.#credentials.release();
    this.#liveness?.stop();
    this.#liveness = undefined;
    this.#socket?.drop();
    this.#socket = undefined;
    this.#refusal = undefined;
  }

  #fetch(): void {
    this.#credentials.fetch(({ token, failure }) => {
      if (token !== undefined) return this.#open(token);
      this.#apply({ type: "lost", blame: false }, { code: "token_failed", reason: failure.reason });
      this.#listener.tokenFailed(failure);
    });
  }

  #open(credentials: string): void {
    this.#apply({ type: "fetched" }, { code: "connect", reason: "the credentials are there" });
    const { connectTimeoutMs, protocols, url } = this.#settings;
    this.#timer = this.#after(connectTimeoutMs, () =>
      this.#apply({ type: "lost", blame: false }, { code: "connect_timeout", reason: "no answer from the broker" }),
    );
    let ndjson = false;
    try {
      const socket = this.#ports.openSocket(url, [...protocols, bearer(credentials)], {
        opened: (protocol) =>
          this.#ports.batch(() => {
            ndjson = protocol === SUBPROTOCOL_NDJSON;
            this.#apply({ type: "opened" }, { code: "connected", reason: "the socket is open" });
          }),
        frame: (data) => this.#frame(socket, data, ndjson),
        closed: (code, reason) => this.#ports.batch(() => this.#closed(code, reason)),
      });
      this.#socket = socket;
    } catch {
      // What the host says may repeat the subprotocols, and with them the credentials.
      this.#apply({ type: "lost", blame: false }, { code: "lost", reason: "the host could not open a WebSocket" });
    }
  }

  #greet(): void {
    const { pingIntervalMs, timeoutMs } = this.#settings;
    this.#liveness = startLiveness({
      clock: { after: (ms, run) => this.#after(ms, run) },
      pingIntervalMs,
      timeoutMs,
      ping: () => this.send(this.#listener.ping()),
      dead: () =>
        this.#apply({ type: "lost", blame: false }, { code: "timeout", reason: `nothing heard for ${timeoutMs} ms` }),
    });
    this.#credentials.open();
    this.#listener.opened();
  }

  #offer(token: string): number {
    const id = this.#listener.nextId();
    this.send({ type: "auth", token, id });
    return id;
  }

  #frame(socket: Socket, data: unknown, ndjson: boolean): void {
    this.#liveness?.heard();
    try {
      for (const line of linesOf(data, ndjson)) {
        const message = decode(line);
        this.#ports.batch(() => this.#message(message));
        // A handler may have closed the client, or the message ended the connection: the rest is not ours any more.
        if (this.#socket !== socket) return;
      }
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#ports.batch(() => this.protocolError(error.message));
    }
  }

  #message(message: Incoming): void {
    if (message.kind === "reconnect") {
      this.#apply({ type: "slot", afterMs: message.afterMs }, { code: "lost", reason: "the broker restarts" });
      return;
    }
    const refusal = lastWord(message, this.#state.step);
    if (refusal !== undefined) {
      this.#refusal = refusal;
      return;
    }
    if (message.kind !== "error" || isWarning(message)) {
      this.#refusal = undefined;
      this.#apply({ type: "answered" }, { code: "connected", reason: "the broker answered" });
    }
    if (!this.#credentials.takes(message)) this.#listener.message(message);
  }

  #closed(closeCode: number, text: string): void {
    const { renewable } = this.#credentials;
    const input = closeInput(closeCode, renewable);
    const code = input.type === "refused" ? "refused" : "lost";
    const said = text === "" ? `the connection was closed (${closeCode})` : text;
    const reason = !renewable && closeCode === CLOSE.tokenExpired ? "the token has expired: use getToken" : said;
    this.#apply(input, { code, reason, closeCode });
  }

  #after(ms: number, run: () => void): Cancel {
    return this.#ports.clock.after(ms, () => this.#ports.batch(run));
  }
}
