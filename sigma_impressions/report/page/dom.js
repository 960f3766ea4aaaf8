/* Elements of the page. Text from the data only ever becomes text: there is no innerHTML here. */

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const find = (id) => document.getElementById(id);

function button(text, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

function badge([label, tone]) {
  return make("span", { class: `badge ${tone}` }, label);
}

/* A name that may be long, in any script, and a link or not. */
function named(text, link = null, level = "clamp") {
  const shown = text === null || text === "" ? "(no name)" : text;
  const inner = link
    ? make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, shown)
    : document.createTextNode(shown);
  return make("bdi", { class: level, dir: "auto", title: shown.length > 60 ? shown : null }, inner);
}

/* One line, cut where the column ends. */
function line(text, level = "sub") {
  return text
    ? make("bdi", { class: `line ${level}`, dir: "auto", title: text.length > 20 ? text : null }, text)
    : null;
}

/* How 14 complete days compare with the 14 before. */
function trend({ now, before, share, movement }) {
  if (movement === null) return make("span", { class: "muted" }, UNKNOWN);
  if (movement === "new" || movement === "gone" || movement === "none") return badge(MOVEMENTS[movement]);
  const tone = movement === "riser" ? "good" : movement === "faller" ? "bad" : "";
  return make("span", { class: `badge ${tone}`, title: `${number(now)} after ${number(before)}` }, signed(share));
}

/* A small table without sorting: `columns` are [label, is a number, is left out on a phone], `rows` arrays of cells. */
function plainTable(caption, columns, rows, empty = "None") {
  const classes = columns.map(([, isNumber, isLess]) => `${isNumber ? "n" : ""} ${isLess ? "less" : ""}`.trim());
  const head = columns.map(([label], place) =>
    label ? make("th", { scope: "col", class: classes[place] }, label) : make("td", { class: classes[place] }),
  );
  const lines = rows.map((cells) =>
    make(
      "tr",
      {},
      ...cells.map((cell, place) =>
        place ? make("td", { class: classes[place] }, cell) : make("th", { scope: "row", class: classes[place] }, cell),
      ),
    ),
  );
  if (!lines.length) {
    lines.push(make("tr", {}, make("td", { class: "muted", colspan: columns.length }, empty)));
  }
  return make(
    "table",
    { class: "plain" },
    make("caption", { class: "sr" }, caption),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...lines),
  );
}

/* A list that shows its first rows, and more when asked: `line` makes the row of an item. */
function growing(items, noun, line, first = 10, more = 200) {
  const body = make("tbody");
  let shown = 0;
  const grow = button("", () => add(more));
  const add = (most) => {
    const next = Math.min(items.length, shown + most);
    for (; shown < next; shown += 1) body.append(line(items[shown]));
    const left = Math.min(more, items.length - shown);
    grow.textContent = `Show ${number(left)} more of ${number(items.length)} ${noun}`;
    grow.hidden = shown >= items.length;
  };
  add(first);
  return [body, grow];
}

/* A part of what opens below a row: a heading, and a table that grows. */
function detail(title, noun, columns, items, cells, note = null) {
  const classes = columns.map(([, isNumber, isLess]) => `${isNumber ? "n" : ""} ${isLess ? "less" : ""}`.trim());
  const [body, grow] = growing(items, noun, (item) =>
    make(
      "tr",
      {},
      ...cells(item).map((cell, place) =>
        place ? make("td", { class: classes[place] }, cell) : make("th", { scope: "row" }, cell),
      ),
    ),
  );
  const head = columns.map(([label], place) => make("th", { scope: "col", class: classes[place] }, label));
  return make(
    "div",
    { class: "detail" },
    make("h4", {}, title),
    note && make("p", { class: "sub" }, note),
    items.length
      ? make("table", {}, make("caption", { class: "sr" }, title), make("thead", {}, make("tr", {}, ...head)), body)
      : make("p", { class: "muted" }, "None."),
    grow,
  );
}
