/** Batch direct get, which history is read with, exists since this version. */
export const MINIMUM_VERSION = "2.11.0";

/** The version in what `nats-server --version` prints ("nats-server: v2.15.1"), or undefined if it is something else. */
export function parseVersionOutput(output: string): string | undefined {
  return /^nats-server: v?(\d+\.\d+\.\d+\S*)\s*$/m.exec(output)?.[1];
}

/** Negative, zero or positive, as `a` is older than, equal to or newer than `b`; a pre-release counts as its release. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbers(version: string): number[] {
  return version.split(/[.-]/, 3).map((part) => Number.parseInt(part, 10) || 0);
}
