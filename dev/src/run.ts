import { execFile } from "node:child_process";

export interface RunOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end and returns its stdout. Rejects with one line: what it was, and why it failed. */
export function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const { timeoutMs, ...rest } = options;
    execFile(program, args, { ...rest, timeout: timeoutMs, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(new Error(`${program}: ${reason(error, stderr, timeoutMs)}`));
    });
  });
}

interface ExecError extends Error {
  readonly code?: string | number | null;
  readonly killed?: boolean;
}

function reason(error: ExecError, stderr: string, timeoutMs: number): string {
  if (error.code === "ENOENT") return "not found";
  if (error.code === "EACCES") return "not executable";
  if (error.killed === true) return `no end within ${timeoutMs / 1000} s`;
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  // apt warns before it says what is wrong.
  const line = lines.find((candidate) => /^E:/.test(candidate)) ?? lines.at(-1);
  return line?.trim() ?? error.message.split("\n")[0] ?? "failed";
}
