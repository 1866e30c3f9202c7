import { describe, expect, it } from "vitest";
import { parseOrigins } from "./origins.ts";

describe("a list of origins", () => {
  it("is read as browsers write them", () => {
    expect(parseOrigins("https://app.example.com, http://localhost:5173,capacitor://localhost,")).toEqual([
      "https://app.example.com",
      "http://localhost:5173",
      "capacitor://localhost",
    ]);
  });

  it.each([
    "*",
    "null",
    "app.example.com",
    "https://*.example.com",
    "https://app.example.com/",
    "https://app.example.com:443",
    "https://App.example.com",
    "https://user@app.example.com",
    "https://app.example.com https://b.example.com",
    "https://a.example.com,*",
    "https://[::1",
  ])("is refused with %s: it would never be equal, or to too many", (text) => {
    expect(parseOrigins(text)).toBeUndefined();
  });
});
