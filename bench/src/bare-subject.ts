/** Where the bare server's records are stored and republished; the stream takes it, no broker's channel has it. */
export const BARE_SUBJECT = "kata.team.bare";
