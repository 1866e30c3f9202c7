/**
 * Reads a list of origins, as browsers send them in `Origin`: `https://app.example.com`, with commas between. A web
 * origin must be written exactly so (lower case, no path, no default port): it is compared, not understood.
 *
 * @returns `undefined` if one of them is no origin; `*` and `null` are none, whoever wants all would let in anybody
 */
export function parseOrigins(text: string): readonly string[] | undefined {
  const origins = text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
  return origins.every(isOrigin) ? origins : undefined;
}

function isOrigin(text: string): boolean {
  // Those of applications (`capacitor://localhost`) have a scheme that URL knows no origin of.
  if (!/^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.:[\]_-]+$/.test(text)) return false;
  if (!/^https?:/.test(text)) return true;
  try {
    return new URL(text).origin === text;
  } catch {
    return false;
  }
}
