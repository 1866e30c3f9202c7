const URL_PARTS = /^(ws|wss|http|https):\/\/([^/?#@\s]+)(\/[^?#\s]*)?(\?[^#\s]*)?$/i;

/**
 * The address to open: `http(s)` becomes `ws(s)`, and a URL without a path gets `/ws` ([CONNECT-1]).
 * Not every host has a `URL` class, so it is read by hand.
 *
 * @throws TypeError if it is no ws, wss, http or https URL, or carries credentials (`user:password@`) or a fragment;
 *   the message does not repeat the URL, which may hold a secret
 */
export function socketUrl(url: string): string {
  const match = URL_PARTS.exec(url);
  if (match === null) {
    throw new TypeError("url must be ws://, wss://, http:// or https://, without credentials and without a fragment");
  }
  const scheme = (match[1] as string).toLowerCase().replace("http", "ws");
  const path = match[3] === undefined || match[3] === "/" ? "/ws" : match[3];
  return `${scheme}://${match[2]}${path}${match[4] ?? ""}`;
}
