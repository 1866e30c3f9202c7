import { type BlockList, isIP } from "node:net";
import { plainAddress } from "../../limits/address-key.ts";
import type { TrustedProxies } from "./trusted-proxies.ts";

/**
 * Where a request comes from: the peer of its connection or, where that is a trusted proxy, whom the proxy names. What
 * stands further left in `X-Forwarded-For` than trust reaches was written by the client itself, who can write anything.
 *
 * @param forwardedFor all lines of the header, in order, with commas between
 */
export function clientAddress(peer: string, forwardedFor: string, trusted: TrustedProxies): string {
  const direct = plainAddress(peer);
  if (trusted.hops === 0 || forwardedFor === "") return direct;
  const named = forwardedFor.split(",").map(addressOf);
  if (trusted.addresses === undefined) {
    // Each proxy adds whom it saw; the nearest one was seen by us.
    return named[Math.max(0, named.length - trusted.hops)] ?? direct;
  }
  let address = direct;
  while (isTrusted(address, trusted.addresses)) {
    const before = named.pop();
    if (before === undefined) return address;
    address = before;
  }
  return address;
}

function isTrusted(address: string, addresses: BlockList): boolean {
  const version = isIP(address);
  return version !== 0 && addresses.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** An entry may have a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. What is no address counts as one of its own. */
function addressOf(entry: string): string {
  const text = entry.trim();
  const match = /^\[([^\]]+)\](?::\d+)?$/.exec(text) ?? /^([\d.]+):\d+$/.exec(text);
  return plainAddress(match?.[1] ?? text);
}
