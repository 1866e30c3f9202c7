import { closeSync, openSync, readFileSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { setTimeout as rest } from "node:timers/promises";
import { isPrivate, lockOf } from "./state-files.ts";
import { UsageError } from "./usage-error.ts";

/** How long whoever has just made a lock has to write down who it is, milliseconds. */
const WRITTEN_MS = 100;
/** Of two that take over a lock at the same time one finds the other's. */
const ATTEMPTS = 5;

/** A process, known also from another one that has its number later. */
interface Holder {
  readonly pid: number;
  /** When it began, as the system knows it; empty where it does not say. */
  readonly began: string;
}

/**
 * Takes the state for this process, until it ends: two that go on from one state would publish every line twice. The lock of a
 * process that is no more is taken over; what is no lock of kata's stays what it is.
 *
 * @throws UsageError if another process has it, its name is taken, or it cannot be written
 */
export async function lockState(state: string): Promise<void> {
  const path = lockOf(state);
  const mine = JSON.stringify({ pid: process.pid, began: beginningOf(process.pid) ?? "" });
  for (let attempt = 1; ; attempt++) {
    if (make(path, mine, state)) break;
    const found = await read(path);
    const holder = holderIn(found ?? "");
    if (attempt === ATTEMPTS || (holder !== undefined && isAlive(holder))) {
      const whose = holder === undefined ? "another process" : `process ${holder.pid}`;
      throw new UsageError(
        `the state ${state} is in use by ${whose}: stop that one, or name another --state (if it is no kata publish, remove ${path})`,
      );
    }
    if (found === undefined) continue;
    if (holder === undefined && !isEmptied(path, found)) {
      throw new UsageError(
        `${path} is no lock of kata publish, and the state ${state} needs the name: name another --state, or move it away`,
      );
    }
    takeAway(path, found);
  }
  process.on("exit", () => {
    if (textOf(path) === mine) unlinkSync(path);
  });
}

/** `false`: there is one. */
function make(path: string, text: string, state: string): boolean {
  try {
    const file = openSync(path, "wx", 0o600);
    writeSync(file, text);
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new UsageError(`cannot write the state ${state}: ${(error as Error).message}`);
  }
}

/** `undefined`: it is gone again, or may not be read. What is empty was just made, or a machine lost power then. */
async function read(path: string): Promise<string | undefined> {
  const text = textOf(path);
  if (text !== "") return text;
  await rest(WRITTEN_MS);
  return textOf(path);
}

/** Whether it is a lock that lost its content with the machine's power. */
function isEmptied(path: string, text: string): boolean {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode;
  return /^\0*$/.test(text) && mode !== undefined && isPrivate(mode);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Removes a lock if it is still that one: another process may have taken it over, and it is that one's now. */
function takeAway(path: string, text: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (textOf(aside) === text) unlinkSync(aside);
    else renameSync(aside, path);
  } catch {
    // Somebody else was faster.
  }
}

function holderIn(text: string): Holder | undefined {
  try {
    const { pid, began, ...more } = JSON.parse(text) as Partial<Holder>;
    // Others write locks, too, with the number of a process and what else they want to know.
    const ours = typeof pid === "number" && pid > 0 && typeof began === "string" && Object.keys(more).length === 0;
    return ours ? { pid, began } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, began }: Holder): boolean {
  // It is not us: we have none yet. In a container that is started again everybody has the number from before.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // It may also be somebody else's, whom we may not signal.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
  const now = beginningOf(pid);
  return now === undefined || began === "" || now === began;
}

/** When a process began, and since which start of the machine: Linux alone says so. `undefined`: unknown. */
function beginningOf(pid: number): string | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  const boot = textOf("/proc/sys/kernel/random/boot_id");
  if (stat === undefined || boot === undefined) return undefined;
  // Behind the name, in which anything may stand: its state, and as the 22nd field of all its start, in ticks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // One that has ended and is not waited for by its parent runs no more.
  return fields[0] === "Z" ? "over" : `${boot.trim()} ${fields[19]}`;
}
