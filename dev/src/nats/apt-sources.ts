/** One line of where apt gets packages from. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** The keyring that vouches for it, where one is named. */
  readonly signedBy: string | undefined;
}

/** Reads the deb822 form (`*.sources`): stanzas of `Field: value`, continued by indented lines. */
export function parseDeb822(text: string): AptSource[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    let field = "";
    for (const line of stanza.split("\n")) {
      if (line.startsWith("#") || line.trim() === "") continue;
      const match = /^([A-Za-z-]+):(.*)$/.exec(line);
      if (match?.[1] !== undefined && match[2] !== undefined) {
        field = match[1].toLowerCase();
        fields.set(field, match[2].trim());
      } else {
        fields.set(field, `${fields.get(field) ?? ""} ${line.trim()}`);
      }
    }
    if (!words(fields.get("types")).includes("deb") || fields.get("enabled")?.toLowerCase() === "no") return [];
    const [suites, components] = [words(fields.get("suites")), words(fields.get("components"))];
    return words(fields.get("uris")).map((uri) => ({ uri, suites, components, signedBy: fields.get("signed-by") }));
  });
}

/** Reads the one-line form (`sources.list`): `deb [option=value …] uri suite component …`. */
export function parseOneLine(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    const [, options, uri, suite, components] = match ?? [];
    if (uri === undefined || suite === undefined) return [];
    return [
      { uri, suites: [suite], components: words(components), signedBy: /signed-by=(\S+)/.exec(options ?? "")?.[1] },
    ];
  });
}

/**
 * The addresses that mirror Debian itself, the likeliest first. A third party's source may name Debian's release as its
 * suite too, so one that ends in `/debian` goes first; security and backports mirrors have other suites and drop out.
 */
export function debianMirrors(sources: readonly AptSource[], codename: string): string[] {
  const suites = [codename, "stable", "testing", "unstable", "sid"];
  const mirrors = sources
    .filter(({ components }) => components.includes("main"))
    .filter((source) => source.suites.some((suite) => suites.includes(suite)))
    .filter(({ signedBy }) => signedBy === undefined || signedBy.includes("debian-archive-keyring"))
    .map(({ uri }) => uri);
  const looksLikeDebian = (uri: string): number => (/\/debian(\.list)?\/?$/.test(uri) ? 0 : 1);
  return [...new Set(mirrors)].sort((a, b) => looksLikeDebian(a) - looksLikeDebian(b));
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}
