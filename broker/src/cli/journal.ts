import { randomBytes } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { resolve } from "node:path";
import { parseEventId } from "@kata/protocol/wire";
import type { PublishManyOptions } from "@kata/publisher";
import { z } from "zod";
import type { FilePlace, Standing } from "./file-place.ts";
import { draftOf } from "./state-files.ts";
import type { Stretch } from "./stretch.ts";
import { UsageError } from "./usage-error.ts";

const PlaceSchema = z.object({
  path: z.string(),
  dev: z.string(),
  ino: z.string(),
  bornAt: z.string(),
  offset: z.number().int().nonnegative(),
  before: z.string(),
  mtimeMs: z.number(),
});

const BatchSchema = z.object({
  from: PlaceSchema,
  bytes: z.number().int().positive(),
  part: z.number().int().positive().optional(),
  more: z.boolean().optional(),
  key: z.string(),
  publishId: z.string(),
  at: z.number(),
});

const StateSchema = z.object({
  version: z.literal(1),
  file: z.string(),
  channel: z.string(),
  type: z.string(),
  team: z.string().optional(),
  next: PlaceSchema.extend({ older: z.array(z.string()).readonly().optional(), scheme: z.string().optional() }),
  part: z.number().int().nonnegative(),
  after: z.string().optional(),
  sent: z.array(BatchSchema),
});

type State = z.infer<typeof StateSchema>;

/** A stretch that was published, or is about to be: written down before, so that it is known after whatever happens. */
export interface SentBatch {
  readonly from: FilePlace;
  readonly bytes: number;
  readonly part?: number | undefined;
  readonly more?: boolean | undefined;
  /** Under which it is published, at every attempt. */
  readonly key: string;
  readonly publishId: string;
  /** When it was first published, which is its events' timestamp: ms since 1970. */
  readonly at: number;
}

/** What belongs to what: a state file goes with one file, one channel and one type, and with one team's log. */
export interface Following {
  readonly file: string;
  readonly channel: string;
  readonly type: string;
  /** Whose channel it is; `undefined` where an API key says that. */
  readonly team?: string | undefined;
}

/**
 * How far a followed file has got into the log, kept in a file. Each batch is written down before it is published, so that whoever
 * goes on after a crash publishes the same bytes under the same key again: then the log has them once.
 */
export class Journal {
  readonly #path: string;
  #state: State;
  /** Batches that the log has, though not yet all before them. */
  readonly #settled = new Set<SentBatch>();
  #last: Promise<void> = Promise.resolve();
  #coming: Promise<void> | undefined;
  /** Why it could not be written once. */
  #broken: UsageError | undefined;
  /** Whether the log that is published to is known to be the one from before. */
  #sameLog: boolean;

  private constructor(path: string, state: State) {
    this.#path = path;
    this.#state = state;
    this.#sameLog = state.after === undefined;
  }

  /**
   * What the file says; `undefined` if there is none yet.
   *
   * @throws UsageError if it cannot be read, or belongs to something else
   */
  static async read(path: string, following: Following): Promise<Journal | undefined> {
    const given = { ...following, file: resolve(following.file) };
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new UsageError(`cannot read the state ${path}: ${(error as Error).message}`);
    }
    const state = parse(text);
    if (state === undefined) {
      throw new UsageError(`${path} is no state of kata publish, or damaged: name another file, or remove it`);
    }
    given.team ??= state.team;
    state.team ??= given.team;
    for (const what of ["file", "channel", "type", "team"] as const) {
      if (state[what] !== given[what]) {
        throw new UsageError(
          `the state ${path} is of the ${what} ${state[what]}, not of ${given[what]}: name another file`,
        );
      }
    }
    return new Journal(path, state);
  }

  /** Begins one. @throws UsageError if it cannot be written */
  static async begin(path: string, following: Following, next: Standing): Promise<Journal> {
    const journal = new Journal(path, {
      version: 1,
      ...following,
      file: resolve(following.file),
      next,
      part: 0,
      sent: [],
    });
    await journal.save();
    return journal;
  }

  /** Where reading goes on, behind everything that was sent. */
  get next(): Standing {
    return this.#state.next;
  }

  /** The number of the last part that was sent, if `next` is within a line; else 0. */
  get part(): number {
    return this.#state.part;
  }

  /** The newest eventId that is known. */
  get after(): string | undefined {
    return this.#state.after;
  }

  /** What was sent and is not known to be in the log, in order. */
  get sent(): readonly SentBatch[] {
    return this.#state.sent;
  }

  /** Whether the log is known to be the one that the state is of: the first that it has says so. */
  get sameLog(): boolean {
    return this.#sameLog;
  }

  /** Says where reading does go on. Where `next` is not to be found any more, it is at the beginning of another line. */
  goOnAt(place: Standing): void {
    if (place.offset !== this.#state.next.offset) this.#state.part = 0;
    this.#state.next = place;
  }

  /** Writes down what is about to be published, as of `at`. Resolves when it may be. @throws UsageError if it cannot be written */
  async record(from: FilePlace, { bytes, part, more }: Stretch, next: Standing, at: number): Promise<SentBatch> {
    const batch: SentBatch = { from, bytes, part, more, key: newId(), publishId: newId(), at };
    this.#state.sent.push(batch);
    this.#state.next = next;
    this.#state.part = more === true ? (part ?? 0) : 0;
    await this.save();
    return batch;
  }

  /**
   * The log has it, or never will. Written down soon, and with what is recorded next.
   *
   * @throws UsageError if it is not the log that the state is of; then the batch stays what it was
   */
  settled(batch: SentBatch, eventId: string | undefined): void {
    if (eventId !== undefined) this.#checkLog(eventId);
    this.#settled.add(batch);
    const { sent } = this.#state;
    for (let first = sent[0]; first !== undefined && this.#settled.delete(first); first = sent[0]) sent.shift();
    if (eventId !== undefined) this.#state.after = eventId;
  }

  /**
   * Resolves when all that is known now is on the disk.
   *
   * @throws UsageError if it cannot be written, and from then on always: what was recorded in vain is not published, and what
   *   comes later must not be in the log before it
   */
  save(): Promise<void> {
    // One write at a time; who comes during one shares the next.
    this.#coming ??= this.#last.then(() => {
      this.#coming = undefined;
      if (this.#broken !== undefined) throw this.#broken;
      const written = this.#write(JSON.stringify(this.#state));
      this.#last = written.catch(() => undefined);
      return written;
    });
    return this.#coming;
  }

  /** A stream that was made anew, or is another server's, has another epoch. */
  #checkLog(eventId: string): void {
    const { after } = this.#state;
    this.#sameLog = after === undefined || parseEventId(after)?.epoch === parseEventId(eventId)?.epoch;
    if (this.#sameLog) return;
    throw new UsageError(
      `the log is not the one that the state ${this.#path} is of: it was made anew, or is another server's, and lacks what was published before; publish to the other one, or remove the state to begin anew`,
    );
  }

  /** Whole or not at all: what a crash interrupts leaves the state from before. */
  async #write(text: string): Promise<void> {
    const draft = draftOf(this.#path);
    try {
      const file = await open(draft, "w", 0o600);
      try {
        await file.writeFile(text);
        // Else a machine that loses power can be left with the name of the new one and the content of none.
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(draft, this.#path);
    } catch (error) {
      this.#broken = new UsageError(`cannot write the state ${this.#path}: ${(error as Error).message}`);
      throw this.#broken;
    }
  }
}

/** How a batch is published, the first time and every further one. @param sinceMs 0: the first time */
export function attemptOf(
  { key, publishId }: SentBatch,
  after: string | undefined,
  sinceMs: number,
): PublishManyOptions {
  return { idempotencyKey: key, attempt: { publishId, sinceMs, after } };
}

function parse(text: string): State | undefined {
  try {
    return StateSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** 128 random bits. */
function newId(): string {
  return randomBytes(16).toString("base64url");
}
