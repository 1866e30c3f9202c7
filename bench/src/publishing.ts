import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { profiling } from "./profiling.ts";
import type { Load, Loaded, Single } from "./publish-load.ts";
import type { PublishAnswer, PublishCommand } from "./publish-process.ts";
import type { SystemName, Target } from "./publish-systems.ts";

/** A running publish-process.ts. */
export interface PublishingProcess extends AsyncDisposable {
  readonly pid: number;
  load(load: Load): Promise<Loaded>;
  /** How long each single publish took, milliseconds. */
  idle(single: Single): Promise<readonly number[]>;
}

/** Starts the process and connects its system. */
export async function startPublishing(system: SystemName, target: Target): Promise<PublishingProcess> {
  const child = fork(fileURLToPath(new URL("./publish-process.ts", import.meta.url)), [], {
    execArgv: ["--conditions=kata-source", "--import", "tsx", ...profiling(`publishing-${system}`)],
  });
  const exited = once(child, "exit");
  const ask = async (command: PublishCommand) => {
    const [answer] = (await Promise.race([
      once(child, "message"),
      exited.then(([code, signal]) => {
        throw new Error(`the publishing process ended with ${code ?? signal}`);
      }),
      new Promise((_, reject) => {
        child.send(command, (error) => {
          if (error !== null) reject(error);
        });
      }),
    ])) as [PublishAnswer];
    if (answer.error !== undefined) throw new Error(`${system}: ${answer.error}`);
    return answer;
  };
  const dispose = async () => {
    if (child.connected) child.disconnect();
    await exited;
  };
  try {
    await ask({ do: "connect", system, target });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    pid: child.pid ?? 0,
    load: async (load) => {
      const { loaded } = await ask({ do: "load", load });
      if (loaded === undefined) throw new Error("the publishing process did not say what it published");
      return loaded;
    },
    idle: async (single) => (await ask({ do: "idle", single })).latenciesMs ?? [],
    [Symbol.asyncDispose]: dispose,
  };
}
