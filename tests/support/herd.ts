import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { HerdAnswer, HerdCommand, HerdPlan, HerdStart, HerdStatus } from "./herd-protocol.ts";

export type { HerdPlan, HerdStart, HerdStatus, Subprotocol } from "./herd-protocol.ts";

/**
 * Many WebSocket readers in a process of their own, which count and verify what they get and do little else, so that it is the
 * server that is measured. They read events of `numberedEvent`. A method that waits rejects if a connection ends that was not
 * cut, or if nothing happens for 20 s.
 */
export interface Herd extends AsyncDisposable {
  readonly pid: number;
  readonly readers: number;
  /** Subscribes every reader; resolves when each was sent `caught_up`. Default: from now on, the first event having number 0. */
  subscribe(start?: HerdStart): Promise<void>;
  /** A reader stops taking bytes from its socket, without closing it. */
  pause(reader: number): Promise<void>;
  resume(reader: number): Promise<void>;
  /** Resets every connection. */
  cut(): Promise<void>;
  /** Each reader resets its connection when it has counted so many events; resolves when all have. */
  cutAt(events: readonly number[]): Promise<void>;
  /** Connects again what was cut. */
  redial(): Promise<void>;
  /** Subscribes every reader from the last eventId that it got; resolves when each was sent `caught_up`. */
  continue(): Promise<void>;
  /** Both at once: each reader subscribes as soon as it is let in, as clients do. */
  comeBack(): Promise<void>;
  /** Resolves when every reader, `except` those, has counted so many events in all. */
  reached(events: number, except?: readonly number[]): Promise<void>;
  status(): Promise<HerdStatus>;
}

const PROCESS = fileURLToPath(new URL("./herd-process.ts", import.meta.url));

/** Starts the process and connects its readers. */
export async function startHerd(plan: HerdPlan): Promise<Herd> {
  const child = fork(PROCESS, [], { execArgv: ["--conditions=kata-source", "--import", "tsx"] });
  const ask = questions(child);
  const tell = async (command: HerdCommand) => void (await ask(command));
  const dispose = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  try {
    await tell({ do: "connect", plan });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    pid: child.pid ?? 0,
    readers: plan.channels.length,
    subscribe: (start = {}) => tell({ do: "subscribe", start }),
    pause: (reader) => tell({ do: "pause", reader }),
    resume: (reader) => tell({ do: "resume", reader }),
    cut: () => tell({ do: "cut" }),
    cutAt: (events) => tell({ do: "cutAt", events }),
    redial: () => tell({ do: "redial" }),
    continue: () => tell({ do: "continue" }),
    comeBack: () => tell({ do: "comeBack" }),
    reached: (events, except = []) => tell({ do: "reached", events, except }),
    status: async () => {
      const { status } = await ask({ do: "status" });
      if (status === undefined) throw new Error("the herd gave no status");
      return status;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

type Answered = Extract<HerdAnswer, { error?: undefined }>;

function questions(child: ChildProcess): (command: HerdCommand) => Promise<Answered> {
  const waiting = new Map<number, { resolve: (answer: Answered) => void; reject: (error: Error) => void }>();
  let asked = 0;
  child.on("message", (answer: HerdAnswer) => {
    const wait = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.error === undefined) wait?.resolve(answer);
    else wait?.reject(new Error(`the herd: ${answer.error}`));
  });
  child.once("exit", (code, signal) => {
    for (const wait of waiting.values()) wait.reject(new Error(`the herd ended with ${code ?? signal}`));
    waiting.clear();
  });
  return (command) =>
    new Promise((resolve, reject) => {
      const id = ++asked;
      waiting.set(id, { resolve, reject });
      child.send({ id, command }, (error) => {
        if (error !== null) reject(error);
      });
    });
}
