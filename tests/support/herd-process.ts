import type { HerdAnswer, HerdCommand, HerdPlan, HerdQuestion, HerdStatus } from "./herd-protocol.ts";
import { type HerdListener, HerdReader } from "./herd-reader.ts";

/** Connections that are being made at a time: more would overflow the server's queue, and come a second later. */
const DIALLING = 256;
/** What is waited for fails when nothing at all has happened for so long: the message says more than a timeout. */
const QUIET_MS = 20_000;

type Step = "opened" | "caughtUp" | "reached" | "closed";

interface Wait {
  left: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Many readers in a process of their own. */
class HerdProcess implements HerdListener {
  #readers: HerdReader[] = [];
  #toDial: HerdReader[] = [];
  readonly #waits = new Map<Step, Wait>();
  readonly #closes: Record<string, number> = {};
  #comingBack = false;
  #lastClose = "";
  #steps = 0;

  async perform(command: HerdCommand): Promise<HerdStatus | undefined> {
    switch (command.do) {
      case "connect":
        this.#create(command.plan);
        return this.#dialAll();
      case "redial":
        return this.#dialAll();
      case "comeBack":
        this.#comingBack = true;
        await Promise.all([this.#dialAll(), this.#wait("caughtUp", this.#readers.length)]).finally(() => {
          this.#comingBack = false;
        });
        return undefined;
      case "subscribe":
        return this.#all("caughtUp", (reader) => reader.subscribe(command.start));
      case "continue":
        return this.#all("caughtUp", (reader) => reader.continue());
      case "cut":
        return this.#all("closed", (reader) => reader.cut());
      case "cutAt":
        return this.#all("closed", (reader) => {
          reader.cutTarget = command.events[reader.index] as number;
          if (reader.events >= reader.cutTarget) throw new Error(`reader ${reader.index} is beyond its cut`);
        });
      case "pause":
        return void this.#readers[command.reader]?.pause();
      case "resume":
        return void this.#readers[command.reader]?.resume();
      case "reached":
        return this.#reach(command.events, new Set(command.except));
      case "status":
        return this.status();
    }
  }

  status(): HerdStatus {
    const readers = this.#readers;
    const sum = (of: (reader: HerdReader) => number) => readers.reduce((all, reader) => all + of(reader), 0);
    const counts = readers.map((reader) => reader.events);
    const firstWrong = readers.find((reader) => reader.firstWrong !== undefined)?.firstWrong;
    return {
      open: sum((reader) => (reader.isOpen ? 1 : 0)),
      events: sum((reader) => reader.events),
      bytes: sum((reader) => reader.bytes),
      fewest: counts.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      most: counts.reduce((a, b) => Math.max(a, b), 0),
      wrong: sum((reader) => reader.wrong),
      ...(firstWrong === undefined ? {} : { firstWrong }),
      gaps: sum((reader) => reader.gaps),
      closes: this.#closes,
      digest: readers[0]?.digest ?? "",
    };
  }

  opened(reader: HerdReader): void {
    if (this.#comingBack) reader.continue();
    this.#toDial.pop()?.dial();
    this.#step("opened");
  }

  caughtUp(): void {
    this.#step("caughtUp");
  }

  reached(): void {
    this.#step("reached");
  }

  closed(reader: HerdReader, code: number | undefined, reason: string): void {
    if (code === undefined) return this.#step("closed");
    this.#closes[code] = (this.#closes[code] ?? 0) + 1;
    this.#lastClose = `reader ${reader.index} was closed with ${code} ${reason}`;
    this.#failAll(this.#lastClose);
  }

  /** Fails what is waited for if nothing moves. */
  watch(): void {
    let before = "";
    let since = performance.now();
    setInterval(() => {
      const { events } = this.status();
      const now = `${this.#steps} ${events}`;
      if (now !== before || this.#waits.size === 0) {
        before = now;
        since = performance.now();
      } else if (performance.now() - since > QUIET_MS) {
        const waits = [...this.#waits].map(([step, { left }]) => `${left} not ${step}`).join(", ");
        this.#failAll(`nothing came for ${QUIET_MS} ms: ${waits}; ${JSON.stringify(this.status())}`);
      }
    }, 1_000).unref();
  }

  #create(plan: HerdPlan): void {
    this.#readers = plan.channels.map((_, index) => new HerdReader(index, plan, this));
  }

  #dialAll(): Promise<undefined> {
    this.#toDial = [...this.#readers].reverse();
    const opened = this.#wait("opened", this.#readers.length);
    for (let i = 0; i < DIALLING; i++) this.#toDial.pop()?.dial();
    return opened;
  }

  #all(step: Step, tell: (reader: HerdReader) => void): Promise<undefined> {
    const done = this.#wait(step, this.#readers.length);
    for (const reader of this.#readers) tell(reader);
    return done;
  }

  #reach(events: number, except: ReadonlySet<number>): Promise<undefined> {
    const behind = this.#readers.filter((reader) => !except.has(reader.index) && reader.events < events);
    for (const reader of behind) reader.target = events;
    return this.#wait("reached", behind.length);
  }

  #wait(step: Step, left: number): Promise<undefined> {
    return new Promise((resolve, reject) => {
      if (this.#waits.has(step)) throw new Error(`${step} is being waited for already`);
      if (left === 0) return resolve(undefined);
      if (this.#lastClose !== "") throw new Error(this.#lastClose);
      this.#waits.set(step, { left, resolve: () => resolve(undefined), reject });
    });
  }

  #step(step: Step): void {
    this.#steps++;
    const wait = this.#waits.get(step);
    if (wait === undefined || --wait.left > 0) return;
    this.#waits.delete(step);
    wait.resolve();
  }

  #failAll(why: string): void {
    const waits = [...this.#waits.values()];
    this.#waits.clear();
    for (const wait of waits) wait.reject(new Error(why));
  }
}

const herd = new HerdProcess();
herd.watch();
const answer = (message: HerdAnswer) => void process.send?.(message);
process.on("message", ({ id, command }: HerdQuestion) => {
  herd.perform(command).then(
    (status) => answer(status === undefined ? { id } : { id, status }),
    (error: Error) => answer({ id, error: error.message }),
  );
});
process.on("disconnect", () => process.exit(0));
