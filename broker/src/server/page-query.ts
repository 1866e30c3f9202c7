import type { PageOptions } from "../auth/team-quota.ts";
import { parseQuery, type Unreadable } from "./query.ts";

/** Entries of a list that come with one answer, if nothing else is asked for, and at most. */
const MAX_ENTRIES = 1_000;

/** Which part of a list a query asks for, `?after=&limit=` [KEYS-2]. */
export function parsePage(query: string): PageOptions | Unreadable {
  const wish = parseQuery(query, ["after", "limit"]);
  if ("problem" in wish) return wish;
  const { after, limit: text = `${MAX_ENTRIES}` } = wish;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_ENTRIES) return { problem: `limit is a whole number from 1 to ${MAX_ENTRIES}` };
  return { after, limit };
}
