/* The tables of the usage report: unpacked from the page itself, sorted, searched and shown a page of rows at a time.
   Text from the data only ever becomes text: there is no innerHTML here. */
"use strict";

const NUMBER = new Intl.NumberFormat("en-US");
const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const MOVEMENTS = {
  new: ["New", "good"],
  riser: ["Rising", "good"],
  faller: ["Falling", "bad"],
  steady: ["Steady", ""],
  gone: ["Gone", "bad"],
  none: ["Not viewed", ""],
};
const TIERS = {
  power: ["Power", "accent"],
  regular: ["Regular", "good"],
  occasional: ["Occasional", ""],
  lapsed: ["Lapsed", "bad"],
};
const REASONS = {
  never_seen: "Never seen viewed",
  no_impressions: "Not viewed for 60 days",
  few_users: "Viewed by few",
};
const KINDS = { sigma_workbook: "Workbooks", sigma_data_model: "Data models", sigma_element: "Elements" };
const FIRST_ELEMENTS = 10;
const MORE_ELEMENTS = 200;

const number = (value) => (value === null ? "–" : NUMBER.format(value));
const percent = (value, digits) => (value === null ? "–" : `${(value * 100).toFixed(digits)}%`);
const day = (value) => (value === null ? "–" : new Date(value * 86400000).toISOString().slice(0, 10));
const labels = (pairs) => Object.fromEntries(Object.entries(pairs).map(([key, [label]]) => [key, label]));

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function badge([label, tone]) {
  return make("span", { class: `badge ${tone}` }, label);
}

/* A name that may be long, in any script, and a link or not. */
function named(text, link, level = "clamp") {
  const shown = text === null ? "(no name)" : text;
  const inner = link
    ? make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, shown)
    : document.createTextNode(shown);
  return make("bdi", { class: level, dir: "auto", title: shown.length > 60 ? shown : null }, inner);
}

/* One line, cut where the column ends. */
function line(text, level = "sub") {
  return text ? make("bdi", { class: `line ${level}`, dir: "auto", title: text.length > 20 ? text : null }, text) : null;
}

function trend(now, before, share, movement) {
  if (movement === "new" || movement === "gone" || movement === "none") return badge(MOVEMENTS[movement]);
  if (share === null) return make("span", { class: "muted" }, "–");
  const tone = movement === "riser" ? "good" : movement === "faller" ? "bad" : "";
  const rounded = Math.round(share * 100);
  const text = `${rounded > 0 ? "+" : rounded < 0 ? "−" : "±"}${NUMBER.format(Math.abs(rounded))}%`;
  return make("span", { class: `badge ${tone}`, title: `${number(now)} after ${number(before)}` }, text);
}

function sparkline(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  if (!values) return svg;
  const most = Math.max(1, ...values);
  const step = 120 / Math.max(1, values.length - 1);
  const points = values.map((value, place) => `${(place * step).toFixed(1)},${(29 - (value / most) * 27).toFixed(1)}`);
  svg.setAttribute("viewBox", "0 0 120 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Impressions per day, at most ${number(most)}`);
  for (const [name, path] of [["area", `M0,30 L${points.join(" ")} 120,30Z`], ["", `M${points.join(" ")}`]]) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    if (name) line.setAttribute("class", name);
    svg.append(line);
  }
  return svg;
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).json();
}

/* Texts as they are compared with what is searched: without case and accents. Made when first searched. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

class Texts {
  constructor(texts) {
    this.texts = texts;
    this.folded = null;
  }

  /* For each text, whether it holds a word. */
  holding(word) {
    this.folded ??= this.texts.map(folded);
    return this.folded.map((text) => text.includes(word));
  }
}

function classesOf({ kind = "", less = false }) {
  return `${kind} ${less ? "less" : ""}`.trim();
}

/* One table: `columns` say how a cell is made and what sorts, `filters` which rows are shown, `details` what opens
   below a row. Rows are numbers into the columns of the data. */
class Grid {
  constructor(host, options) {
    this.options = { size: 25, filters: [], details: null, ...options };
    this.rows = options.rows;
    this.sorted = options.sorted;
    this.descending = options.descending;
    this.chosen = {};
    this.start = 0;
    this.open = new Set();
    this.size = this.options.size;
    this.status = make("p", { role: "status" });
    this.body = make("tbody");
    this.heads = options.columns.map((column) => this.head(column));
    const table = make(
      "table",
      { class: "grid" },
      make("caption", { class: "sr" }, options.caption),
      make("thead", {}, make("tr", {}, ...this.heads)),
      this.body,
    );
    this.back = this.button("‹ Back", () => this.turn(-1), "Rows before");
    this.next = this.button("Next ›", () => this.turn(1), "Rows after");
    host.replaceChildren(
      this.tools(),
      make("div", { class: "rows" }, table),
      make("div", { class: "pager" }, this.status, this.back, this.next),
    );
    // Rows that reach over all columns are made for the columns that are seen.
    for (const medium of ["(max-width: 720px)", "print"]) {
      matchMedia(medium).addEventListener("change", () => this.show());
    }
    this.select();
  }

  get width() {
    return this.heads.filter((head) => getComputedStyle(head).display !== "none").length;
  }

  button(text, act, label = null) {
    const button = make("button", { type: "button", "aria-label": label }, text);
    button.addEventListener("click", act);
    return button;
  }

  head(column) {
    const classes = classesOf(column);
    if (!column.value) {
      return make("th", { scope: "col", class: classes }, make("div", { class: "plain-head" }, column.label));
    }
    const arrow = make("span", { class: "arrow", "aria-hidden": "true" });
    const content = column.kind?.split(" ").includes("n") ? [arrow, column.label] : [column.label, arrow];
    const button = make("button", { type: "button", title: column.hint || null }, ...content);
    button.addEventListener("click", () => {
      this.descending = this.sorted === column.id ? !this.descending : !column.text;
      this.sorted = column.id;
      this.select();
    });
    return make("th", { scope: "col", class: classes, "data-column": column.id, "data-label": column.label }, button);
  }

  tools() {
    const search = make("input", { type: "search", placeholder: this.options.placeholder, autocomplete: "off" });
    let timer = 0;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.words = folded(search.value).split(/\s+/).filter(Boolean);
        this.select();
      }, 120);
    });
    const tools = make("div", { class: "tools" }, make("label", { class: "grow" }, "Search", search));
    for (const filter of this.options.filters) {
      const choices = Object.entries(filter.choices).map(([key, label]) => make("option", { value: key }, label));
      const choice = make("select", {}, make("option", { value: "" }, filter.all), ...choices);
      choice.value = filter.first || "";
      this.chosen[filter.id] = choice.value;
      choice.addEventListener("change", () => {
        this.chosen[filter.id] = choice.value;
        this.select();
      });
      tools.append(make("label", {}, filter.label, choice));
    }
    const sizes = make("select", {}, ...[25, 50, 100].map((size) => make("option", { value: size }, String(size))));
    sizes.addEventListener("change", () => {
      this.size = Number(sizes.value);
      this.select();
    });
    tools.append(make("label", { class: "less" }, "Rows", sizes));
    return tools;
  }

  turn(pages) {
    this.start += pages * this.size;
    this.show();
    this.body.closest(".table-card").scrollIntoView({ block: "start" });
  }

  /* Filter and sort, then show the first rows. */
  select() {
    const { columns, filters, matches } = this.options;
    let rows = this.rows.filter((row) =>
      filters.every(({ id, value }) => !this.chosen[id] || value(row) === this.chosen[id]),
    );
    if (this.words?.length) {
      const matching = this.words.map(matches);
      rows = rows.filter((row) => matching.every((match) => match(row)));
    }
    const column = columns.find(({ id }) => id === this.sorted);
    const sign = this.descending ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, column.value(row)]));
    // What has no value comes last, whichever way; and rows that are equal keep their order.
    const compare = column.text
      ? (one, other) => COLLATOR.compare(one, other)
      : (one, other) => one - other;
    this.found = rows.sort((one, other) => {
      const [first, second] = [keys.get(one), keys.get(other)];
      if (first === null || second === null) return (first === null) - (second === null) || one - other;
      return sign * compare(first, second) || one - other;
    });
    for (const head of this.heads) {
      if (!head.dataset.column) continue;
      const isSorted = head.dataset.column === this.sorted;
      head.setAttribute("aria-sort", isSorted ? (this.descending ? "descending" : "ascending") : "none");
      head.querySelector(".arrow").textContent = isSorted ? (this.descending ? "▼" : "▲") : "";
    }
    this.start = 0;
    this.show();
  }

  show() {
    const last = Math.min(this.start + this.size, this.found.length);
    const shown = this.found.slice(this.start, last);
    this.body.replaceChildren(...shown.flatMap((row) => this.line(row)));
    if (!shown.length) {
      const none = make("td", { class: "empty", colspan: this.width }, this.options.empty);
      this.body.append(make("tr", {}, none));
    }
    this.status.textContent = shown.length
      ? `${number(this.start + 1)}–${number(last)} of ${number(this.found.length)}` +
        (this.found.length < this.rows.length ? ` (${number(this.rows.length)} in all)` : "")
      : `0 of ${number(this.rows.length)}`;
    this.back.disabled = this.start === 0;
    this.next.disabled = last >= this.found.length;
  }

  line(row) {
    const { columns, details } = this.options;
    const line = make("tr", { class: "row" });
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
    const arrow = make("span", { "aria-hidden": "true" }, "▸");
    if (label === null) return make("div", { class: "title" }, make("span", { class: "opener none" }), content);
    const button = make(
      "button",
      { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": id, "aria-label": label },
      arrow,
    );
    const open = () => {
      const below = make("td", { colspan: this.width }, details.content(row));
      const opened = make("tr", { class: "elements", id }, below);
      button.setAttribute("aria-expanded", "true");
      return opened;
    };
    button.addEventListener("click", () => {
      if (this.open.delete(row)) {
        line.nextSibling.remove();
        button.setAttribute("aria-expanded", "false");
      } else {
        this.open.add(row);
        line.after(open());
      }
    });
    if (this.open.has(row)) lines.push(open());
    return make("div", { class: "title" }, button, content);
  }
}

function range(length) {
  return Array.from({ length }, (_, place) => place);
}

function build(data) {
  const { workbooks, elements, underused, users } = data;
  const pool = new Texts(data.texts);
  const text = (column) => (row) => (column[row] === null ? null : data.texts[column[row]]);
  const link = (column) => (row) => (column[row] === null ? null : data.links[column[row]]);
  const plain = (column) => (row) => column[row];
  /* Which rows hold a word in one of the columns. */
  const matcher = (...columns) => (word) => {
    const hits = pool.holding(word);
    return (row) => columns.some((column) => hits[column[row]]);
  };
  const count = (id, label, column, options = {}) => ({
    id, label, kind: "n", value: plain(column), cell: (row) => number(column[row]), ...options,
  });
  const date = (id, label, column, options = {}) => ({
    id, label, kind: "n day", value: plain(column), cell: (row) => day(column[row]), ...options,
  });

  const firstElement = [0];
  for (const length of workbooks.elements) firstElement.push(firstElement.at(-1) + length);
  const inElements = (word) => {
    const hits = pool.holding(word);
    const found = new Set();
    let workbook = 0;
    elements.name.forEach((name, place) => {
      while (place >= firstElement[workbook + 1]) workbook += 1;
      if (hits[name]) found.add(workbook);
    });
    return found;
  };
  const elementLine = (row) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, named(text(elements.name)(row), link(elements.url)(row))),
      make("td", { class: "n" }, number(elements.impressions[row])),
      make("td", { class: "n less" }, number(elements.users[row])),
      make("td", { class: "n less" }, number(elements.recent[row])),
      make("td", { class: "n" },
        trend(elements.recent[row], elements.previous[row], elements.trend[row], text(elements.movement)(row))),
      make("td", { class: "n less" }, day(elements.last[row])),
    );
  const elementsOf = (row) => {
    const [begin, end] = [firstElement[row], firstElement[row + 1]];
    const classes = ["", "n", "n less", "n less", "n", "n less"];
    const head = ["Element", "Impressions", "Users", "14 days", "Change", "Last viewed"].map((label, place) =>
      make("th", { scope: "col", class: classes[place] }, label),
    );
    const body = make("tbody");
    let shown = begin;
    const more = make("button", { type: "button" });
    const add = (most) => {
      const next = Math.min(end, shown + most);
      for (; shown < next; shown += 1) body.append(elementLine(shown));
      more.textContent = `Show ${number(Math.min(MORE_ELEMENTS, end - shown))} more of ${number(end - begin)} elements`;
      more.hidden = shown >= end;
    };
    more.addEventListener("click", () => add(MORE_ELEMENTS));
    add(FIRST_ELEMENTS);
    const caption = make("caption", { class: "sr" }, `Elements of ${text(workbooks.name)(row)}`);
    return make("div", {}, make("table", {}, caption, make("thead", {}, make("tr", {}, ...head)), body), more);
  };

  const inWorkbooks = matcher(workbooks.name, workbooks.path, workbooks.owner);
  new Grid(document.getElementById("popular-table"), {
    caption: "Popular workbooks",
    placeholder: "Workbook, element, folder or owner",
    empty: "No workbook matches.",
    rows: range(workbooks.name.length),
    sorted: "impressions",
    descending: true,
    matches: (word) => {
      const [own, below] = [inWorkbooks(word), inElements(word)];
      return (row) => own(row) || below.has(row);
    },
    filters: [
      { id: "movement", label: "Trend", all: "Any trend", choices: labels(MOVEMENTS), value: text(workbooks.movement) },
    ],
    details: {
      label: (row) =>
        workbooks.elements[row] ? `${number(workbooks.elements[row])} elements of ${text(workbooks.name)(row)}` : null,
      content: elementsOf,
    },
    columns: [
      {
        id: "name", label: "Workbook", text: true, kind: "name", value: text(workbooks.name),
        cell: (row) =>
          make("div", {}, named(text(workbooks.name)(row), link(workbooks.url)(row)),
            line(text(workbooks.path)(row)), line(text(workbooks.owner)(row))),
      },
      count("impressions", "Impressions", workbooks.impressions, { hint: "60 days" }),
      count("users", "Users", workbooks.users, { hint: "60 days", less: true }),
      count("recent", "14 days", workbooks.recent, { hint: "Impressions of the last 14 days", less: true }),
      {
        id: "trend", label: "Change", kind: "n", value: plain(workbooks.trend),
        hint: "The last 14 days against the 14 days before",
        cell: (row) => trend(
          workbooks.recent[row], workbooks.previous[row], workbooks.trend[row], text(workbooks.movement)(row)),
      },
      { id: "days", label: "60 days", kind: "days", less: true, cell: (row) => sparkline(workbooks.days[row]) },
      date("last", "Last viewed", workbooks.last, { less: true }),
    ],
  });

  const unused = (host, archived) => {
    const rows = range(underused.name.length).filter((row) => (underused.archived[row] === 1) === archived);
    if (archived) {
      document.getElementById("archived").hidden = !rows.length;
      document.getElementById("archived-count").textContent = number(rows.length);
    }
    new Grid(document.getElementById(host), {
      caption: archived ? "Underused content that is archived" : "Underused content",
      placeholder: "Name, folder or owner",
      empty: rows.length ? "Nothing matches." : "Nothing is underused.",
      rows,
      sorted: "impressions",
      descending: false,
      matches: matcher(underused.name, underused.workbook, underused.path, underused.owner),
      filters: [
        {
          id: "kind", label: "Kind", all: "All kinds", choices: KINDS, value: text(underused.kind),
          first: archived ? "" : "sigma_workbook",
        },
        { id: "code", label: "Reason", all: "Any reason", choices: REASONS, value: text(underused.code) },
      ],
      columns: [
        {
          id: "name", label: "Name", text: true, kind: "name", value: text(underused.name),
          cell: (row) =>
            make("div", {}, named(text(underused.name)(row), link(underused.url)(row)),
              line(text(underused.workbook)(row) ? `Element of ${text(underused.workbook)(row)}` : null),
              line(text(underused.path)(row)),
              line(text(underused.owner)(row), "sub narrow-only")),
        },
        {
          id: "owner", label: "Owner", text: true, kind: "owner", value: text(underused.owner),
          cell: (row) => line(text(underused.owner)(row) ?? "–", ""),
        },
        {
          id: "reason", label: "Reason", text: true, kind: "reason", value: text(underused.reason),
          cell: (row) => make("span", {}, text(underused.reason)(row) ?? ""),
        },
        count("impressions", "Impressions", underused.impressions, { hint: "60 days", less: true }),
        date("last", "Last viewed", underused.last, { less: true }),
        date("changed", "Last changed", underused.changed, { less: true }),
        count("age", "Days old", underused.age, { less: true, kind: "n age" }),
      ],
    });
  };
  unused("underused-table", false);
  unused("archived-table", true);

  new Grid(document.getElementById("users-table"), {
    caption: "People",
    placeholder: "User",
    empty: "Nobody matches.",
    rows: range(users.user.length),
    sorted: "impressions",
    descending: true,
    matches: matcher(users.user),
    filters: [
      { id: "tier", label: "Tier", all: "Any tier", choices: labels(TIERS), value: text(users.tier) },
      {
        id: "new", label: "Since", all: "New or not", choices: { 1: "New in 14 days" },
        value: (row) => String(users.new[row]),
      },
    ],
    columns: [
      {
        id: "user", label: "User", text: true, kind: "name", value: text(users.user),
        cell: (row) => line(text(users.user)(row) ?? "–", ""),
      },
      {
        id: "tier", label: "Tier", kind: "tier",
        value: (row) => Object.keys(TIERS).length - Object.keys(TIERS).indexOf(text(users.tier)(row)),
        cell: (row) =>
          make("span", {}, badge(TIERS[text(users.tier)(row)] ?? [text(users.tier)(row), ""]), " ",
            users.new[row] ? badge(["New", "accent"]) : null),
      },
      count("impressions", "Impressions", users.impressions, { hint: "60 days" }),
      count("recent", "14 days", users.recent, { hint: "Impressions of the last 14 days", less: true }),
      count("days", "Active days", users.days, { hint: "Days with an impression, of 60", less: true }),
      count("workbooks", "Workbooks", users.workbooks, { hint: "60 days", less: true }),
      {
        id: "share", label: "Share", kind: "n", value: plain(users.share), hint: "Of the impressions of all users",
        cell: (row) => percent(users.share[row], 1),
      },
      {
        id: "cumulative", label: "Up to here", kind: "n", value: plain(users.cumulative), less: true,
        hint: "Share of the impressions of all users by this user and those who are more active",
        cell: (row) => percent(users.cumulative[row], 1),
      },
      date("last", "Last viewed", users.last, { less: true }),
    ],
  });
}

/* What the day under the pointer shows, from the table of the days. */
function readouts() {
  const rows = [...document.querySelectorAll("#days-table tbody tr")].map((row) =>
    [...row.children].map((cell) => cell.textContent),
  );
  const sentences = {
    impressions: ([date, weekday, views, , , , books]) => `${weekday} ${date}: ${views} impressions, ${books} workbooks`,
    users: ([date, weekday, , today, week, month]) => `${weekday} ${date}: ${today}, ${week}, ${month} users`,
  };
  for (const chart of document.querySelectorAll("[data-chart]")) {
    const readout = chart.querySelector(".readout");
    chart.addEventListener("pointerover", ({ target }) => {
      const place = target.dataset?.day;
      readout.textContent = place === undefined ? "" : sentences[chart.dataset.chart](rows[place]);
    });
    chart.addEventListener("pointerleave", () => {
      readout.textContent = "";
    });
  }
}

function theme() {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => {
    button.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  button.hidden = false;
  label();
}

theme();
readouts();
unpack(document.getElementById("packed").textContent)
  .then(build)
  .then(() => {
    document.documentElement.setAttribute("data-ready", "");
    performance.mark("tables shown");
  })
  .catch((error) => {
    const failure = document.getElementById("failure");
    failure.textContent = `The tables cannot be shown in this browser: ${error.message}. A newer one can.`;
    failure.hidden = false;
    throw error;
  });
