/** What is wrong with an address that is asked over HTTP, to follow its name; `undefined` if nothing is. */
export function problemOfUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) return "must be an http:// or https:// URL";
  // fetch takes no such address, and it would be shown where addresses are.
  if (url.username !== "" || url.password !== "") return "must not carry a user or a password";
  return undefined;
}
