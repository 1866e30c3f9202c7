import type { Position } from "./position.ts";

/**
 * - `locating`: the start, or the place to go on from, is being looked for; nothing is sent
 * - `catching up`: records after the place are sent, from memory or from the log
 * - `paused`: as before, but the socket holds enough; goes on when it has taken some
 * - `live`: stands at the channel's head and is sent what comes with all others
 * - `closed`: sends nothing any more
 */
export type Phase = "locating" | "catching up" | "paused" | "live" | "closed";

/** A place and the life of the log that it belongs to. */
export interface Place {
  readonly epoch: string;
  readonly position: Position;
  /** The eventId that `subscribed` named; it stands for the place until something was sent. */
  readonly startId: string;
  /** Whether a record was sent since. */
  readonly moved: boolean;
}

/** Where a subscription is on its way. A value: an input makes another one of it. */
export interface SubscriptionState {
  readonly phase: Phase;
  /** Behind what was sent last; `undefined` before the first start was found. While live it stays where the reader joined. */
  readonly place: Place | undefined;
  /** Whether `caught_up` has to be said at the next join [CAUGHTUP-1]. */
  readonly caughtUpDue: boolean;
  /** Whether it was ever said: from then on pongs speak of this subscription [PING-1]. */
  readonly everCaughtUp: boolean;
}

export type Input =
  /** The place to go on from was found, and `subscribed` said. */
  | { readonly type: "located"; readonly place: Place }
  /** Everything up to there was given to the socket. */
  | { readonly type: "sent"; readonly position: Position }
  /** The socket holds more than its mark. */
  | { readonly type: "full" }
  /** The socket has taken some. */
  | { readonly type: "drained" }
  /** The place is the channel's head, and the reader joined the live feed. */
  | { readonly type: "joined" }
  /** Live, the socket took less than came: it left the live feed at the channel's `end`. */
  | { readonly type: "fell behind"; readonly end: Position }
  /** The log has lost what lies behind `end`, and nothing of the channel with it. */
  | { readonly type: "end lost"; readonly end: Position }
  /** The place may be gone: to be looked for anew. `end` is the channel's. */
  | { readonly type: "lost"; readonly end: Position }
  | { readonly type: "closed"; readonly end: Position };

/** What follows what. A state or an input that is added does not compile until every pair has an answer. */
export const NEXT_PHASE: Readonly<Record<Phase, Readonly<Record<Input["type"], Phase>>>> = {
  locating: {
    located: "catching up",
    sent: "locating",
    full: "locating",
    drained: "locating",
    joined: "locating",
    "fell behind": "locating",
    "end lost": "locating",
    lost: "locating",
    closed: "closed",
  },
  "catching up": {
    located: "catching up",
    sent: "catching up",
    full: "paused",
    drained: "catching up",
    joined: "live",
    "fell behind": "catching up",
    "end lost": "catching up",
    lost: "locating",
    closed: "closed",
  },
  paused: {
    located: "paused",
    sent: "paused",
    full: "paused",
    drained: "catching up",
    joined: "paused",
    "fell behind": "paused",
    "end lost": "paused",
    lost: "locating",
    closed: "closed",
  },
  live: {
    located: "live",
    sent: "live",
    full: "live",
    drained: "live",
    joined: "live",
    // It left because its socket is full.
    "fell behind": "paused",
    "end lost": "live",
    lost: "locating",
    closed: "closed",
  },
  closed: {
    located: "closed",
    sent: "closed",
    full: "closed",
    drained: "closed",
    joined: "closed",
    "fell behind": "closed",
    "end lost": "closed",
    lost: "closed",
    closed: "closed",
  },
};

export const INITIAL: SubscriptionState = {
  phase: "locating",
  place: undefined,
  caughtUpDue: true,
  everCaughtUp: false,
};

/** The state after an input. One that means nothing in a phase leaves the state as it is. */
export function next(state: SubscriptionState, input: Input): SubscriptionState {
  const phase = NEXT_PHASE[state.phase][input.type];
  switch (input.type) {
    case "located":
      return state.phase === "locating" ? { ...state, phase, place: input.place, caughtUpDue: true } : state;
    case "sent":
      return state.phase === "catching up" ? { ...state, place: moved(state.place, input.position) } : state;
    case "joined":
      return phase === "live" ? { ...state, phase, caughtUpDue: false, everCaughtUp: true } : state;
    case "fell behind":
    case "lost":
    case "closed":
      return { ...state, phase, place: placeNow(state, input.end) };
    case "end lost":
      return state.phase !== "closed" && state.place !== undefined && state.place.position.seq > input.end.seq
        ? { ...state, place: moved(state.place, input.end) }
        : state;
    case "full":
    case "drained":
      return phase === state.phase ? state : { ...state, phase };
  }
}

/**
 * Behind what was sent last, where `end` is the place after what its channel has published. A live reader has been sent
 * all that, unless it started beyond it, at a place of another channel.
 */
export function placeNow({ phase, place }: SubscriptionState, end: Position): Place | undefined {
  return phase === "live" && place !== undefined && end.seq > place.position.seq ? moved(place, end) : place;
}

function moved(place: Place | undefined, position: Position): Place | undefined {
  return place && { ...place, position, moved: true };
}
