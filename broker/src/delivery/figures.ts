import type { GapReason } from "@kata/protocol/wire";

/** What delivery has done so far, counted since the broker started. */
export interface DeliveryFigures {
  /** Gaps that were told to readers, by reason. */
  readonly gaps: Record<GapReason, number>;
  /** How often a live reader left the live feed because its socket took less than came. */
  fellBehind: number;
  /** How often a channel compared itself with the log because something may have been missed. */
  repairs: number;
  /** Comparisons of all open channels with the log. */
  audits: number;
  /** Lines of records that are no events; a record that is read again counts again. */
  invalidLines: number;
}

export function createFigures(): DeliveryFigures {
  return {
    gaps: { expired: 0, reset: 0, rewritten: 0, unknown: 0 },
    fellBehind: 0,
    repairs: 0,
    audits: 0,
    invalidLines: 0,
  };
}
