import { UsageError } from "./usage-error.ts";

const MILLISECONDS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `10m`, `2h`, `30d` in milliseconds. @throws UsageError */
export function parseDuration(option: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(digits) * (MILLISECONDS[unit ?? ""] ?? Number.NaN);
  if (!(ms > 0 && ms <= 3_660 * 86_400_000)) {
    throw new UsageError(`${option} takes a time such as 90s, 10m, 2h or 30d`);
  }
  return ms;
}
