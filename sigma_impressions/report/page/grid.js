/* A table of many rows: sorted, searched, a page of rows at a time, and what opens below a row. */

function classesOf({ kind = "", less = false }) {
  return `${kind} ${less ? "less" : ""}`.trim();
}

/* A label, which may depend on the choice. */
const written = (label) => (typeof label === "function" ? label() : label);

/* `columns` say how a cell is made, what sorts and what is saved; `filters` which rows are shown; `details` what opens
   below a row; `also` what a file of the rows holds besides, as [label, value], and `saved` makes another file of them,
   as [header, rows]. Rows are numbers into the columns of
   the data. A column has

   id, label     the label is a text, or makes one
   value         what sorts; null comes last. Without it the column does not sort
   cell          what is shown
   saved         what a file holds, if it is not the value; null for nothing
   text          whether it is sorted as text */
class Grid {
  constructor(host, options) {
    this.options = { size: 10, filters: [], details: null, also: [], ...options };
    this.host = host;
    this.rows = [];
    this.sorted = options.sorted;
    this.descending = options.descending;
    this.chosen = {};
    this.choices = {};
    this.start = 0;
    this.open = new Set();
    this.size = this.options.size;
    this.words = [];
    this.status = make("p", { role: "status" });
    this.body = make("tbody");
    this.heads = options.columns.map((column) => this.head(column));
    const table = make(
      "table",
      { class: "grid" },
      make("caption", { class: "sr" }, options.caption),
      make("thead", {}, make("tr", {}, ...this.heads.map(({ cell }) => cell))),
      this.body,
    );
    this.back = button("‹ Back", () => this.turn(-1), { "aria-label": "Rows before" });
    this.next = button("Next ›", () => this.turn(1), { "aria-label": "Rows after" });
    this.saves = button("CSV", () => this.save(), { class: "save", title: "These rows as a file for spreadsheets" });
    this.saves.setAttribute("aria-label", `Save as CSV: ${options.caption}`);
    host.replaceChildren(
      this.tools(),
      make("div", { class: "rows" }, table),
      make("div", { class: "pager" }, this.status, this.saves, this.back, this.next),
    );
    // Rows that reach over all columns are made for the columns that are seen.
    for (const medium of ["(max-width: 720px)", "print"]) {
      matchMedia(medium).addEventListener("change", () => this.show());
    }
  }

  get width() {
    return this.heads.filter(({ cell }) => getComputedStyle(cell).display !== "none").length;
  }

  head(column) {
    const classes = classesOf(column);
    const label = make("span", { class: "label" });
    if (!column.value) {
      const cell = make("th", { scope: "col", class: classes }, make("div", { class: "plain-head" }, label));
      return { column, cell, label };
    }
    const arrow = make("span", { class: "arrow", "aria-hidden": "true" });
    const sorts = make("button", { type: "button", title: column.hint || null }, label, arrow);
    sorts.addEventListener("click", () => {
      this.descending = this.sorted === column.id ? !this.descending : !column.text;
      this.sorted = column.id;
      this.select();
    });
    return {
      column,
      cell: make("th", { scope: "col", class: classes, "data-column": column.id }, sorts),
      label,
      arrow,
    };
  }

  tools() {
    this.search = make("input", { type: "search", placeholder: this.options.placeholder, autocomplete: "off" });
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.words = folded(this.search.value).split(/\s+/).filter(Boolean);
        this.select();
      }, 120);
    });
    const tools = make("div", { class: "tools" }, make("label", { class: "grow" }, "Search", this.search));
    for (const filter of this.options.filters) {
      const choices = Object.entries(filter.choices).map(([key, label]) => make("option", { value: key }, label));
      const choice = make("select", {}, filter.all && make("option", { value: "" }, filter.all), ...choices);
      choice.value = filter.first || "";
      this.chosen[filter.id] = choice.value;
      this.choices[filter.id] = choice;
      choice.addEventListener("change", () => {
        this.chosen[filter.id] = choice.value;
        this.select();
      });
      tools.append(make("label", {}, filter.label, choice));
    }
    const sizes = make("select", {}, ...[10, 25, 50, 100].map((size) => make("option", { value: size }, String(size))));
    sizes.addEventListener("change", () => {
      this.size = Number(sizes.value);
      this.select();
    });
    tools.append(make("label", { class: "less" }, "Rows", sizes));
    return tools;
  }

  /* Show other rows, or the same ones with other figures; how they are sorted and searched stays. */
  update(rows) {
    this.rows = rows;
    for (const { column, label, cell } of this.heads) {
      label.textContent = written(column.label);
      cell.dataset.label = label.textContent;
    }
    this.select();
  }

  turn(pages) {
    this.start += pages * this.size;
    this.show();
    this.host.scrollIntoView({ block: "start" });
  }

  /* Open a row, wherever it is; false if it is not there. */
  reveal(row) {
    if (!this.rows.includes(row)) return false;
    if (!this.found.includes(row)) {
      this.search.value = "";
      this.words = [];
      this.select();
    }
    // Filters give way one by one, as one may be what the row has.
    for (const filter of this.options.filters) {
      if (this.found.includes(row)) break;
      const choice = this.choices[filter.id];
      this.chosen[filter.id] = choice.value = filter.all ? "" : filter.value(row);
      this.select();
    }
    const place = this.found.indexOf(row);
    if (place < 0) return false;
    this.start = place - (place % this.size);
    this.open.add(row);
    this.show();
    const line = this.body.querySelector(`[data-row="${row}"]`);
    line.scrollIntoView({ block: "start" });
    line.querySelector(".opener:not(.none)")?.focus({ preventScroll: true });
    return true;
  }

  close(row) {
    if (this.open.delete(row)) this.show();
  }

  /* Filter and sort, then show the first rows. */
  select() {
    const { columns, filters, matches } = this.options;
    let rows = this.rows.filter((row) =>
      filters.every(({ id, value }) => !this.chosen[id] || value(row) === this.chosen[id]),
    );
    if (this.words.length) {
      const matching = this.words.map(matches);
      rows = rows.filter((row) => matching.every((match) => match(row)));
    }
    const column = columns.find(({ id }) => id === this.sorted);
    const sign = this.descending ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, column.value(row)]));
    // What has no value comes last, whichever way; and rows that are equal keep their order.
    const compare = column.text ? (one, other) => COLLATOR.compare(one, other) : (one, other) => one - other;
    this.found = rows.sort((one, other) => {
      const [first, second] = [keys.get(one), keys.get(other)];
      if (first === null || second === null) return (first === null) - (second === null) || one - other;
      return sign * compare(first, second) || one - other;
    });
    for (const { cell, arrow } of this.heads) {
      if (!arrow) continue;
      const isSorted = cell.dataset.column === this.sorted;
      cell.setAttribute("aria-sort", isSorted ? (this.descending ? "descending" : "ascending") : "none");
      arrow.textContent = isSorted ? (this.descending ? "▼" : "▲") : "";
    }
    this.start = 0;
    this.show();
  }

  show() {
    const last = Math.min(this.start + this.size, this.found.length);
    const shown = this.found.slice(this.start, last);
    this.body.replaceChildren(...shown.flatMap((row) => this.line(row)));
    if (!shown.length) {
      const { empty } = this.options;
      const none = make("td", { class: "empty", colspan: this.width }, written(empty));
      this.body.append(make("tr", {}, none));
    }
    this.status.textContent = shown.length
      ? `${number(this.start + 1)}–${number(last)} of ${number(this.found.length)}` +
        (this.found.length < this.rows.length ? ` (${number(this.rows.length)} in all)` : "")
      : `0 of ${number(this.rows.length)}`;
    this.back.disabled = this.start === 0;
    this.next.disabled = last >= this.found.length;
    this.saves.disabled = !this.found.length;
  }

  line(row) {
    const { columns, details } = this.options;
    const line = make("tr", { class: "row", "data-row": row });
    const lines = [line];
    columns.forEach((column, place) => {
      const classes = classesOf(column);
      const content = column.cell(row);
      const cell = place
        ? make("td", { class: classes }, content)
        : make("th", { scope: "row", class: classes }, details ? this.opener(row, content, line, lines) : content);
      line.append(cell);
    });
    return lines;
  }

  /* The button that opens what is below a row, and what it opened before. */
  opener(row, content, line, lines) {
    const { details, caption } = this.options;
    const label = details.label(row);
    const id = `${caption.replace(/\W/g, "")}-${row}`;
    if (label === null) return make("div", { class: "title" }, make("span", { class: "opener none" }), content);
    const arrow = make("span", { "aria-hidden": "true" }, "▸");
    const opener = make(
      "button",
      { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": id, "aria-label": label },
      arrow,
    );
    const open = () => {
      const below = make("td", { colspan: this.width }, details.content(row));
      opener.setAttribute("aria-expanded", "true");
      return make("tr", { class: "elements", id }, below);
    };
    opener.addEventListener("click", () => {
      if (this.open.delete(row)) {
        line.nextSibling.remove();
        opener.setAttribute("aria-expanded", "false");
        details.closed?.(row);
      } else {
        this.open.add(row);
        line.after(open());
        details.opened?.(row);
      }
    });
    if (this.open.has(row)) lines.push(open());
    return make("div", { class: "title" }, opener, content);
  }

  save() {
    const { columns, also, file } = this.options;
    if (this.options.saved) {
      save(file(), ...this.options.saved(this.found));
      return;
    }
    const saved = columns.filter(({ value, saved }) => value && saved !== null);
    const header = [...saved.map(({ label, title }) => title ?? written(label)), ...also.map(([label]) => label)];
    const cells = [...saved.map(({ saved, value }) => saved ?? value), ...also.map(([, value]) => value)];
    save(
      file(),
      header,
      this.found.map((row) => cells.map((cell) => cell(row))),
    );
  }
}

/* Columns that many tables have. */
const column = {
  count: (id, label, value, options = {}) => ({
    id,
    label,
    kind: "n",
    value,
    cell: (row) => number(value(row)),
    ...options,
  }),
  date: (id, label, value, options = {}) => ({
    id,
    label,
    kind: "n day",
    value,
    cell: (row) => day(value(row)),
    saved: (row) => (value(row) === null ? null : day(value(row))),
    ...options,
  }),
  share: (id, label, value, options = {}) => ({
    id,
    label,
    kind: "n",
    value,
    cell: (row) => percent(value(row), 1),
    ...options,
  }),
  trend: (of, options = {}) => ({
    id: "trend",
    label: "Change",
    kind: "n",
    value: (row) => of(row).share,
    cell: (row) => trend(of(row)),
    hint: "The last 14 complete days against the 14 days before",
    title: "Change of 14 complete days",
    ...options,
  }),
};
