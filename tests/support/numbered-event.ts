/** Digits of an event's number: always as many, so that it can be read at a fixed place. */
export const NUMBER_DIGITS = 10;

/**
 * Where the number begins in an envelope: behind what every `log_entry` begins with, since a publisher writes `type`,
 * `timestamp` (24 characters), `encoding` and `payload` in this order.
 */
export const NUMBER_AT =
  '{"type":"log_entry","timestamp":"2026-11-25T00:00:00.000Z","encoding":"json","payload":{"message":"'.length;

const TEXT = "compiled src/delivery/subscription.ts in 12 ms; ";

/** An event that carries its number where {@link NUMBER_AT} says, as a line of about `bytes` bytes. */
export function numberedEvent(number: number, bytes: number): { type: "log_entry"; payload: { message: string } } {
  const length = Math.max(NUMBER_DIGITS, bytes - NUMBER_AT - '"}}'.length);
  return { type: "log_entry", payload: { message: numbered(number) + fillerOf(length - NUMBER_DIGITS) } };
}

const THOUSAND = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(3, "0"));
const prefix = { thousands: -1, digits: "" };

/** Made of two parts that are there already: whoever measures others must not cost much. */
function numbered(number: number): string {
  const thousands = Math.floor(number / 1_000);
  if (thousands !== prefix.thousands) {
    prefix.thousands = thousands;
    prefix.digits = String(thousands).padStart(NUMBER_DIGITS - 3, "0");
  }
  return prefix.digits + THOUSAND[number - thousands * 1_000];
}

let filler = "";

function fillerOf(length: number): string {
  if (filler.length !== length) filler = TEXT.repeat(Math.ceil(length / TEXT.length)).slice(0, length);
  return filler;
}
