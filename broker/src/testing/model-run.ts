import type { Schedule } from "./model-steps.ts";
import { ModelWorld } from "./model-world.ts";

/**
 * So many questions to the log are more than anything that happens can be worth, with every memory as small as it can be:
 * whoever asks more asks in circles. (The most that was seen is half of it.)
 */
const QUESTIONS = 4;

/**
 * Runs a schedule, then lets everything heal, and returns the world as it then is.
 *
 * @throws Error naming everything that was wrong at the first step at which something was
 */
export async function runSchedule({ limits, steps }: Schedule): Promise<ModelWorld> {
  const world = new ModelWorld(limits);
  const rejections: unknown[] = [];
  const onRejection = (error: unknown) => void rejections.push(error);
  process.on("unhandledRejection", onRejection);
  const { now } = Date;
  // Rewinds by time ask the machine's clock.
  Date.now = () => world.clock.now;
  try {
    for (const [at, step] of steps.entries()) {
      await world.perform(step);
      expectNothing(world, rejections, `step ${at} (${step.do})`);
    }
    await world.rest();
    const { asked } = world.memory;
    const questions = Object.values(asked).reduce((sum, count) => sum + count, 0);
    const messages = world.clients.reduce((sum, { story }) => sum + story.length, 0);
    const most = QUESTIONS * (20 + steps.length + world.log.records.length + messages);
    if (questions > most)
      world.complaints.push(`the log was asked ${questions} questions, at most ${most} are allowed`);
    expectNothing(world, rejections, "the end");
    return world;
  } finally {
    Date.now = now;
    process.off("unhandledRejection", onRejection);
    world.close();
  }
}

function expectNothing({ complaints, rig, clients }: ModelWorld, rejections: readonly unknown[], when: string): void {
  const defects = rig.defects.map((error) => `defect: ${error instanceof Error ? error.stack : String(error)}`);
  const faults = [
    ...complaints.slice(0, 10),
    ...defects,
    ...rejections.map((error) => `unhandled rejection: ${error}`),
  ];
  if (faults.length === 0) return;
  const stories = clients.map(({ story }, n) => `client ${n}:\n  ${story.slice(0, 60).join("\n  ")}`);
  throw new Error([`at ${when}:`, ...faults.map((fault) => `- ${fault}`), ...stories].join("\n"));
}
