/** How far it is, in lines. */
export interface Progress {
  published: number;
  /** Lines that could not be published, and places where lines were lost before they could be read. */
  failed: number;
  /** Not acknowledged yet. */
  pending: number;
  /** Whether what is pending is the end of the stream. */
  ending: boolean;
}

/** What waits for the log, in words. */
export function whatWaits({ pending, ending }: Progress): string {
  return ending ? "the end of the stream" : `${pending} lines`;
}
