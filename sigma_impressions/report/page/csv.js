/* A list as a file for spreadsheets: what is shown now, all of its rows. No cell is a formula. */

/* What a spreadsheet may take for a formula, also where it cuts at other signs than commas: FORMULA of texts.py. */
const FORMULA = /(^|[;|\t\r\n])(["\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\p{Z}\p{Cf}]*[=+\-@＝＋－＠])/gu;

function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  return `"${value.replace(FORMULA, "$1'$2").replaceAll('"', '""')}"`;
}

function csvText(header, rows) {
  return `\ufeff${[header, ...rows].map((cells) => cells.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

function save(name, header, rows) {
  const url = URL.createObjectURL(new Blob([csvText(header, rows)], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
