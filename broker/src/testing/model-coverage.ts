import type { ModelWorld } from "./model-world.ts";

/** How often what may happen did happen: whether the schedules reach everything that they are to attack. */
export class ModelCoverage {
  readonly #counts = new Map<string, number>();
  #worlds = 0;

  add({ clients, log, memory, rig }: ModelWorld): void {
    const { gaps, ...figures } = rig.delivery.figures;
    this.#worlds++;
    for (const [reason, count] of Object.entries(gaps)) this.#count(`gap ${reason}`, count);
    for (const [figure, count] of Object.entries(figures)) this.#count(figure, count);
    for (const [question, count] of Object.entries(memory.asked)) this.#count(`asked ${question}`, count);
    this.#count("events stored", log.stored);
    this.#count("lives of the log", log.lives.length);
    for (const line of clients.flatMap(({ story }) => story)) this.#count(kindOf(line), 1);
  }

  /** A line each, what happened in an average schedule. */
  summary(): string {
    const lines = [...this.#counts].map(([what, count]) => `${(count / this.#worlds).toFixed(3).padStart(9)}  ${what}`);
    return [`${this.#worlds} schedules, each on average:`, ...lines.sort()].join("\n");
  }

  #count(what: string, count: number): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + count);
  }
}

/** What a line of a client's story tells, without the names of channels and places. */
function kindOf(line: string): string {
  if (line.startsWith("> ")) return line.endsWith("leaves") ? "> leaves" : "> subscribes";
  if (line.startsWith("pong")) return line.endsWith("0-0-0000") ? "pong of nothing" : "pong of a place";
  const [, type = "", ...rest] = line.split(" ");
  return type === "subscribed" ? [type, ...rest.slice(0, -1)].join(" ") : type;
}
