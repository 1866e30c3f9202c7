/** Rows and columns by name, and what stands where they meet. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly { readonly name: string; readonly cells: readonly string[] }[];
}

/** Reads a table as it is written by hand: a line each row, `|` between cells, the columns' names in the first line. */
export function parseTable(text: string): Table {
  const [head, ...lines] = text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.split("|").map((cell) => cell.trim()));
  const [, ...columns] = head ?? [];
  const rows = lines.map(([name = "", ...cells]) => {
    if (cells.length !== columns.length) throw new Error(`the row "${name}" has ${cells.length} cells`);
    return { name, cells };
  });
  return { columns, rows };
}

/** The same with these columns alone, in the table's own order. */
export function withColumns({ columns, rows }: Table, wanted: readonly string[]): Table {
  const kept = columns.map((name, at) => ({ name, at })).filter(({ name }) => wanted.includes(name));
  return {
    columns: kept.map(({ name }) => name),
    rows: rows.map(({ name, cells }) => ({ name, cells: kept.map(({ at }) => cells[at] ?? "") })),
  };
}

/** The table with what really happens in each of its cells, one row after the other. */
export async function fillInRows(table: Table, attempt: (row: string) => Promise<readonly string[]>): Promise<Table> {
  const rows: { name: string; cells: readonly string[] }[] = [];
  for (const { name } of table.rows) rows.push({ name, cells: await attempt(name) });
  return { columns: table.columns, rows };
}

/** The same, one cell after the other. */
export async function fillIn(table: Table, attempt: (row: string, column: string) => Promise<string>): Promise<Table> {
  return await fillInRows(table, async (row) => {
    const cells: string[] = [];
    for (const column of table.columns) cells.push(await attempt(row, column));
    return cells;
  });
}

/** A line each row, for a difference that shows which cells have changed. */
export function linesOf({ columns, rows }: Table): string[] {
  return rows.flatMap(({ name, cells }) => cells.map((cell, at) => `${name} | ${columns[at]} | ${cell}`));
}
