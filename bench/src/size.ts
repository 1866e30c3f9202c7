/** How much of a scenario is run. */
export interface Size {
  readonly runs: number;
  /** Events of a run. */
  readonly events: number;
  readonly readers: number;
}
