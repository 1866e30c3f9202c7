import { isIP, isIPv6 } from "node:net";

/** Something longer than any address is what somebody made up. */
const MAX_ADDRESS = 64;

/** An address in one form: IPv4 that came as IPv6 (`::ffff:192.0.2.1`) as IPv4, without a zone. */
export function plainAddress(text: string): string {
  const address = text.split("%")[0] ?? "";
  if (!isIPv6(address)) return address.slice(0, MAX_ADDRESS);
  const words = wordsOf(address);
  const mapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff;
  if (!mapped) return address.toLowerCase();
  const [high = 0, low = 0] = words.slice(6);
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
}

/**
 * What limits count an address by: IPv4 itself; of IPv6 the /64, since that is the least that somebody is given, with
 * all its 2^64 addresses.
 */
export function addressKey(address: string): string {
  if (isIP(address) !== 6) return address;
  const words = wordsOf(address).slice(0, 4);
  return `${words.map((word) => word.toString(16)).join(":")}::/64`;
}

/** The eight words of a valid IPv6 address. */
function wordsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex =
    dotted === null
      ? address
      : `${dotted[1]}${word(dotted[2], dotted[3]).toString(16)}:${word(dotted[4], dotted[5]).toString(16)}`;
  const [left = "", right] = hex.split("::");
  const head = numbers(left);
  if (right === undefined) return head;
  const tail = numbers(right);
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function word(high: string | undefined, low: string | undefined): number {
  return Number(high) * 256 + Number(low);
}

function numbers(text: string): number[] {
  return text === "" ? [] : text.split(":").map((each) => Number.parseInt(each, 16));
}
