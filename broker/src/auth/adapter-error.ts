/**
 * What may be told of an error that an application's adapter threw: a copy of what is known to be text, without
 * `secret`. Properties (an HTTP client's request, with its headers), causes and errors in errors stay behind: they may
 * hold what the adapter was asked about, or what it asks with.
 */
export function tellable(error: unknown, secret?: string): Error {
  if (!(error instanceof Error)) return new Error("it threw what is no Error");
  const clean = cleaner(secret);
  const { name, message, stack, code } = error as { readonly [K in "name" | "message" | "stack" | "code"]?: unknown };
  const told = new Error(clean(message));
  told.name = clean(name);
  if (stack !== undefined) told.stack = clean(stack);
  return typeof code === "string" ? Object.assign(told, { code: clean(code) }) : told;
}

/** Takes a secret out of texts, in each form in which it is put into them. */
function cleaner(secret: string | undefined): (text: unknown) => string {
  if (secret === undefined || secret === "") return asText;
  // What is half a character has no form in a URL, and encodeURIComponent throws.
  const forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(Buffer.from(secret).toString())];
  return (text) => forms.reduce((left, form) => left.replaceAll(form, "[redacted]"), asText(text));
}

/** JavaScript lets anybody put anything there. */
function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}
