import { LINES, SINGLE } from "../delivery/framing.ts";
import { createDeliveryRig, type DeliveryRig } from "./delivery-rig.ts";
import { ManualClock } from "./manual-clock.ts";
import { nextTurn } from "./memory-answers.ts";
import { faultsOfBounds } from "./model-bounds.ts";
import { type ModelChannel, ModelClient } from "./model-client.ts";
import { ModelConnection, ModelStream } from "./model-connection.ts";
import { type LineShape, ModelLog } from "./model-log.ts";
import { startAfter, startOf } from "./model-start.ts";
import { CLIENTS, type Schedule, type Step, SUBJECTS } from "./model-steps.ts";
import type { Watch } from "./model-watch.ts";

export const CHANNELS: readonly ModelChannel[] = [
  { name: "team:t", subject: SUBJECTS[0] },
  { name: "agent:a", subject: SUBJECTS[1] },
];

const LINGER_MS = 3_000;
const AUDIT_MS = 5_000;
/** What has not come to rest after so many rounds, and so many for each record, never will. */
const ROUNDS = 400;
const ROUNDS_A_RECORD = 20;
/** What may cost live records, or answers. */
const TROUBLES: ReadonlySet<Step["do"]> = new Set(["drop", "cut", "time out", "lag", "trim", "lose tail", "recreate"]);
const ONE: readonly LineShape[] = [{ noise: false, filler: 0 }];

/** The real delivery between a log and applications that do what a schedule says, and the truth beside it. */
export class ModelWorld {
  readonly clock = new ManualClock();
  readonly memory: ModelConnection;
  readonly stream: ModelStream;
  readonly log: ModelLog;
  readonly rig: DeliveryRig;
  readonly clients: readonly ModelClient[];
  readonly complaints: string[] = [];
  /** Whether everything that was stored since somebody listened comes over the live feed. */
  #calm = true;
  readonly #limits: Schedule["limits"];

  constructor(limits: Schedule["limits"]) {
    this.stream = new ModelStream(() => this.clock.now);
    this.#limits = limits;
    this.memory = new ModelConnection({ stream: this.stream, manual: true });
    this.log = new ModelLog(this.stream);
    this.rig = createDeliveryRig({
      ...limits,
      lingerMs: LINGER_MS,
      auditIntervalMs: AUDIT_MS,
      clock: this.clock,
      log: this.memory,
    });
    this.clients = Array.from(
      { length: CLIENTS },
      (_, n) =>
        new ModelClient({
          name: `client ${n}`,
          framing: n === 1 ? LINES : SINGLE,
          rig: this.rig,
          log: this.log,
          complain: (what) => void this.complaints.push(what),
        }),
    );
    this.log.watchers.add(() => {
      for (const { watch } of this.#open) watch.logChanged();
    });
  }

  async perform(step: Step): Promise<void> {
    await this.#do(step);
    if (step.rush !== true) await nextTurn();
    for (const { watch } of this.#open) watch.look();
    this.complaints.push(...faultsOfBounds(this.rig, this.#limits, this.clients, this.log.largest));
  }

  /** Everything heals, everybody comes back, everything is delivered and audited; then nothing is missing. */
  async rest(): Promise<void> {
    this.stream.lag = 0;
    this.memory.heal();
    for (const client of this.clients) {
      client.socket?.fast();
      for (const name of client.channels) client.subscribe(channelNamed(name), startAfter(client.position(name)));
    }
    // Time for whoever asked in the wrong moment to ask again, hardly for an audit that mends what went wrong.
    await this.#settle(100);
    if (this.#calm) this.#expectOfAll((watch) => watch.lacks());
    await this.#settle();
    void this.rig.channels.audit();
    await this.#settle();
    this.#expectOfAll((watch) => watch.lacks() ?? watch.lacksAudited());
    this.complaints.push(...faultsOfBounds(this.rig, this.#limits, this.clients, this.log.largest));
  }

  close(): void {
    this.rig.delivery.close();
  }

  #expectOfAll(lacks: (watch: Watch) => string | undefined): void {
    for (const client of this.clients) {
      for (const { watch } of client.subscriptions) {
        const missing = lacks(watch);
        if (missing !== undefined) this.complaints.push(`${client.name}, ${watch.subject}: ${missing}`);
      }
    }
  }

  get #open() {
    return this.clients.flatMap(({ subscriptions }) => subscriptions);
  }

  #do(step: Step): void | Promise<void> {
    const { memory, log, clock } = this;
    if (TROUBLES.has(step.do)) this.#calm = false;
    switch (step.do) {
      case "publish":
        for (const record of step.records) log.store(subjectAt(step.subject), record);
        return;
      case "deliver":
        return memory.deliverLive(step.count);
      case "drop":
        for (let i = 0; i < step.count; i++) memory.dropLive();
        return;
      case "trim":
        return log.trim(step.count);
      case "flow":
        return this.#flow(step.count);
      case "garble":
        log.store(subjectAt(step.subject), ONE, false);
        return memory.garble(subjectAt(step.subject));
      case "lag":
        this.stream.lag = step.count;
        return;
      case "time out":
        return memory.timeOut(step.pick);
      case "answer":
        if (memory.pendingAnswers > 0) memory.answer(step.pick % memory.pendingAnswers, step.as);
        return;
      case "cut":
        return this.#cut();
      case "heal":
        return memory.heal();
      case "audit":
        return void this.rig.channels.audit();
      case "lose tail":
        return this.#loseTail(step);
      case "recreate":
        // On one connection, what was sent before the stream was deleted does not come after what is said of the next one.
        if (step.live === "comes") memory.deliverLive(memory.pendingLive);
        while (memory.pendingLive > 0) memory.dropLive();
        log.recreate();
        // As the log does when the server announces it.
        if (step.told) void memory.state().catch(() => undefined);
        return;
      case "pass":
        return clock.advance(step.ms);
      default:
        return this.#letClient(step);
    }
  }

  #letClient(step: Extract<Step, { client: number }>): void {
    const client = this.clients[step.client] as ModelClient;
    switch (step.do) {
      case "subscribe": {
        const channel = CHANNELS[step.channel] as ModelChannel;
        return client.subscribe(channel, startOf(step.start, this.log, client.position(channel.name)));
      }
      case "unsubscribe":
        return client.unsubscribe((CHANNELS[step.channel] as ModelChannel).name);
      case "leave":
        return client.leave();
      case "back":
        for (const name of client.channels) client.subscribe(channelNamed(name), startAfter(client.position(name)));
        return;
      case "slow":
        return client.socket?.slow();
      case "fast":
        return client.socket?.fast();
      case "take":
        return client.socket?.take(step.bytes);
      case "ping":
        return client.ping();
    }
  }

  /** Nobody is back in the same tick. */
  async #cut(): Promise<void> {
    this.memory.cut();
    await nextTurn();
  }

  /** As a server does that lost its power: whoever was connected has to come back. */
  async #loseTail({ count, store, heal }: Extract<Step, { do: "lose tail" }>): Promise<void> {
    await this.#cut();
    this.log.loseTail(count);
    for (const subject of store) this.log.store(subjectAt(subject), ONE);
    if (heal) this.memory.heal();
  }

  /** Rounds in which all that is under way comes. */
  async #flow(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.memory.deliverLive(this.memory.pendingLive);
      while (this.memory.pendingAnswers > 0) this.memory.answer();
      await nextTurn();
    }
  }

  /** Lets everything come; while nothing is under way time passes, in steps of so many ms. */
  async #settle(ms = 400): Promise<void> {
    const rounds = ROUNDS + ROUNDS_A_RECORD * this.log.records.length;
    for (let quiet = 0, round = 0; quiet < 5; round++) {
      if (round === rounds) return void this.complaints.push(`no rest after ${rounds} rounds`);
      const busy = this.memory.pendingLive + this.memory.pendingAnswers > 0;
      quiet = busy ? 0 : quiet + 1;
      await this.#flow(1);
      // In all long enough for whoever waits to ask again.
      if (!busy) this.clock.advance(ms);
    }
  }
}

function subjectAt(index: number): string {
  return SUBJECTS[index] as string;
}

function channelNamed(name: string): ModelChannel {
  return CHANNELS.find((channel) => channel.name === name) as ModelChannel;
}
