import { describe, expect, it } from "vitest";
import { addressKey, plainAddress } from "../../limits/address-key.ts";
import { clientAddress } from "./client-address.ts";
import { NO_PROXIES, parseTrustedProxies, type TrustedProxies } from "./trusted-proxies.ts";

function trusting(text: string): TrustedProxies {
  const parsed = parseTrustedProxies(text);
  if (parsed === undefined) throw new Error(`${text} names no proxies`);
  return parsed;
}

describe("an address counts", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002:0000:0000:0000:0001", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["64:ff9b::192.0.2.33", "64:ff9b:0:0::/64"],
    ["nonsense", "nonsense"],
  ])("%s as %s", (address, key) => {
    expect(addressKey(address)).toBe(key);
  });

  it.each([
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["0000:0000:0000:0000:0000:ffff:c000:0201", "192.0.2.1"],
    ["fe80::1%eth0", "fe80::1"],
    ["x".repeat(1_000), "x".repeat(64)],
  ])("%s is written %s", (address, plain) => {
    expect(plainAddress(address)).toBe(plain);
  });
});

describe("the client's address", () => {
  it.each([
    ["nobody", NO_PROXIES, "203.0.113.9", "192.0.2.1"],
    ["one proxy", trusting("1"), "203.0.113.9, 198.51.100.7", "198.51.100.7"],
    ["two proxies", trusting("2"), "1.1.1.1, 203.0.113.9, 198.51.100.7", "203.0.113.9"],
    ["two proxies, one of which was gone past", trusting("2"), "203.0.113.9", "203.0.113.9"],
    ["a network", trusting("10.0.0.0/8, 192.0.2.1"), "1.1.1.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"],
    ["a network that all are in", trusting("10.0.0.0/8,192.0.2.1"), "10.0.0.9, 10.1.2.3", "10.0.0.9"],
    ["others", trusting("10.0.0.0/8"), "203.0.113.9", "192.0.2.1"],
    ["one proxy that writes ports", trusting("1"), "203.0.113.9:4711", "203.0.113.9"],
    ["one proxy that writes IPv6", trusting("1"), "[2001:DB8::9]:4711", "2001:db8::9"],
    ["one proxy that says nothing", trusting("1"), "", "192.0.2.1"],
  ])("trusting %s", (_, trusted, forwardedFor, address) => {
    expect(clientAddress("192.0.2.1", forwardedFor, trusted)).toBe(address);
  });

  it("behind a proxy that came as IPv4 in IPv6", () => {
    expect(clientAddress("::ffff:10.0.0.1", "203.0.113.9", trusting("10.0.0.0/8"))).toBe("203.0.113.9");
  });

  it.each(["", "all", "17", "-1", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/", "::1/129", "proxy.example.com"])(
    "%j names no proxies",
    (text) => {
      expect(parseTrustedProxies(text)).toBeUndefined();
    },
  );
});
