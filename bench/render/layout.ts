/** Pure. A report as aligned text for a terminal, and as markdown. */
import type { Report, Table } from "./report.ts";

export function renderText(report: Report): string {
  const parts = [
    report.title,
    ...report.paragraphs.map((text) => wrap(text, 118)),
    ...report.tables.map((table) => `${table.title}\n${alignedRows(table).join("\n")}`),
    ...(report.notes.length === 0 ? [] : [report.notes.map((note) => `- ${note}`).join("\n")]),
  ];
  return `${parts.join("\n\n")}\n`;
}

export function renderMarkdown(report: Report): string {
  const parts = [
    `## ${report.title}`,
    ...report.paragraphs.map((text) => wrap(text, 118)),
    ...report.tables.map((table) => `### ${table.title}\n\n${markdownRows(table).join("\n")}`),
    ...(report.notes.length === 0 ? [] : [report.notes.map((note) => `- ${note}`).join("\n")]),
  ];
  return `${parts.join("\n\n")}\n`;
}

function markdownRows({ header, rows }: Table): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(header), `|${header.map(() => "---").join("|")}|`, ...rows.map(line)];
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

/** First column left, the others right aligned unless they hold long text. */
function alignedRows({ header, rows }: Table): readonly string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const isText = (column: number): boolean => column === 0 || (widths[column] ?? 0) > 30;
  return all.map((row) =>
    row
      .map((text, column) =>
        isText(column) ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
