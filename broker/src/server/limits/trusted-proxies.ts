import { BlockList, isIP } from "node:net";

/** Whose word for an address counts: that of so many proxies in a row, or of those at these addresses. */
export type TrustedProxies =
  | { readonly hops: number; readonly addresses?: undefined }
  | { readonly hops?: undefined; readonly addresses: BlockList };

/** Nobody's: a request comes from where its connection comes from. */
export const NO_PROXIES: TrustedProxies = { hops: 0 };

const MAX_HOPS = 16;

/**
 * Reads `2` (two proxies stand between), or addresses and networks with commas between (`10.0.0.0/8, fd00::1`).
 *
 * @returns `undefined` for anything else
 */
export function parseTrustedProxies(text: string): TrustedProxies | undefined {
  if (/^\d+$/.test(text)) return Number(text) <= MAX_HOPS ? { hops: Number(text) } : undefined;
  const addresses = new BlockList();
  for (const each of text.split(",").map((part) => part.trim())) {
    const [address = "", prefix] = each.split("/");
    const version = isIP(address);
    if (version === 0) return undefined;
    const family = version === 4 ? "ipv4" : "ipv6";
    if (prefix === undefined) addresses.addAddress(address, family);
    else if (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128))
      addresses.addSubnet(address, Number(prefix), family);
    else return undefined;
  }
  return { addresses };
}
