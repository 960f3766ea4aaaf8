/* The section of workbooks: how much each is viewed, and what opens below it. */

const SHOWN = { workbook: "Current workbooks", data_model: "Current data models", other: "Archived, deleted, unknown" };
const STATES = { archived: ["Archived", ""], deleted: ["Deleted", "bad"], unknown: ["Unknown", ""] };
const DETAIL_WIDTHS = [
  ["wide-only", 1000, 130],
  ["narrow-only", 330, 130],
];

class Workbooks {
  constructor(view) {
    const { data } = view;
    const { workbooks, elements, pages } = data;
    this.view = view;
    const text = (name) => data.text(workbooks[name]);
    const state = text("state");
    const inWorkbooks = data.matcher(workbooks.name, workbooks.path, workbooks.owner, workbooks.id);
    this.grid = new Grid(find("workbooks-table"), {
      caption: "Workbooks",
      placeholder: "Workbook, element, folder or owner",
      empty: "No workbook matches.",
      file: () => view.file("workbooks"),
      sorted: "impressions",
      descending: true,
      matches: (word) => {
        const [own, below] = [inWorkbooks(word), this.inElements(word)];
        return (row) => own(row) || below.has(row);
      },
      filters: [
        {
          id: "which",
          label: "Show",
          choices: SHOWN,
          first: "workbook",
          value: (row) => (data.isPresent[row] ? (data.isModel[row] ? "data_model" : "workbook") : "other"),
        },
        {
          id: "movement",
          label: "Trend",
          all: "Any trend",
          choices: labels(MOVEMENTS),
          value: (row) => view.tally.trendOf(row).movement,
        },
      ],
      details: {
        label: (row) => `Days, elements and users of ${data.nameOf(row)}`,
        content: (row) => this.details(row),
        ...view.opens("workbook", text("id")),
      },
      columns: [
        {
          id: "name",
          label: "Workbook",
          text: true,
          kind: "name",
          value: (row) => data.nameOf(row),
          cell: (row) =>
            make(
              "div",
              {},
              named(data.nameOf(row), data.link(workbooks.url)(row)),
              data.isPresent[row] ? null : badge(STATES[state(row)] ?? [state(row), ""]),
              line(text("path")(row)),
              line(text("owner")(row)),
            ),
        },
        column.count(
          "impressions",
          () => `Impressions, ${view.tally.period} days`,
          (row) => view.tally.workbook.impressions[row],
          { hint: "Impressions with those of the elements" },
        ),
        column.count("users", "Users", (row) => view.tally.workbook.users[row], { less: true, hint: "In the period" }),
        column.count("now", "14 complete days", (row) => view.tally.trendOf(row).now, {
          less: true,
          hint: "Impressions of the last 14 complete days",
          title: "Impressions, 14 complete days",
        }),
        column.trend((row) => view.tally.trendOf(row)),
        {
          id: "days",
          label: "60 days",
          kind: "days",
          less: true,
          cell: (row) => sparkline(data.daysOf(view.tally.pairsOf(row)), data.isKnown),
        },
        column.date("last", "Last viewed", (row) => workbooks.last[row], { less: true, hint: "By anybody, ever" }),
      ],
      also: [
        ["Folder", text("path")],
        ["Owner", text("owner")],
        ["URL", data.link(workbooks.url)],
        ["ID", text("id")],
        ["State", state],
      ],
    });
    this.elements = elements;
    this.pages = pages;
  }

  show() {
    const { data, tally } = this.view;
    this.grid.update(range(data.workbookCount).filter((row) => tally.hasWorkbook[row]));
    find("workbooks-note").textContent =
      `Impressions of ${tally.period} days to ${longDay(data.meta.asOf)}, a ` +
      "workbook's with those of its elements. Open one to see its days, elements, pages and users.";
  }

  reveal(id) {
    const row = this.view.data.workbooks.id.findIndex((_, place) => this.idOf(place) === id);
    return row >= 0 && this.grid.reveal(row) ? row : null;
  }

  idOf(row) {
    return this.view.data.text(this.view.data.workbooks.id)(row);
  }

  /* The workbooks of which an element holds a word. */
  inElements(word) {
    const { data, elements } = { data: this.view.data, elements: this.elements };
    const hits = data.holding(word);
    const found = new Set();
    let workbook = 0;
    elements.name.forEach((name, place) => {
      while (place >= data.firstElement[workbook + 1]) workbook += 1;
      if (hits[name]) found.add(workbook);
    });
    return found;
  }

  details(row) {
    const { data, tally } = this.view;
    const below = make(
      "div",
      { class: "below" },
      this.view.details.daysOf(tally.pairsOf(row), data.nameOf(row)),
      this.users(row),
      this.elementsOf(row),
    );
    if (data.workbooks.pages[row]) below.append(this.pagesOf(row));
    return below;
  }

  elementsOf(row) {
    const { data, tally } = this.view;
    const { elements } = this;
    const text = (name) => data.text(elements[name]);
    const [impressions, users] = [elements[`i${tally.period}`], elements[`u${tally.period}`]];
    const hasPages = data.workbooks.pages[row] > 0;
    const rows = range(data.firstElement[row + 1] - data.firstElement[row], data.firstElement[row]).sort(
      (one, other) => impressions[other] - impressions[one] || one - other,
    );
    return detail(
      counted(rows.length, "element"),
      "elements",
      [
        ["Element"],
        [`Impressions, ${tally.period} days`, true],
        ["Users", true, true],
        ["14 complete days", true, true],
        ["Change", true],
        ["Last viewed", true, true],
      ],
      rows,
      (element) => [
        make(
          "div",
          {},
          named(text("name")(element), data.link(elements.url)(element)),
          hasPages ? line(text("page")(element)) : null,
        ),
        number(impressions[element]),
        number(users[element]),
        number(elements.now[element]),
        trend({
          now: elements.now[element],
          before: elements.before[element],
          share: elements.trend[element],
          movement: data.complete.before && text("movement")(element),
        }),
        day(elements.last[element]),
      ],
      this.view.details.ofEverybody("Elements"),
    );
  }

  pagesOf(row) {
    const { data, tally } = this.view;
    const { pages } = this;
    const rows = range(data.firstPage[row + 1] - data.firstPage[row], data.firstPage[row]);
    return detail(
      counted(rows.length, "page"),
      "pages",
      [["Page"], ["Elements", true], [`Impressions, ${tally.period} days`, true], ["Users", true]],
      rows,
      (page) => [
        named(data.text(pages.name)(page)),
        number(pages.elements[page]),
        number(pages[`i${tally.period}`][page]),
        number(pages[`u${tally.period}`][page]),
      ],
      this.view.details.ofEverybody("Pages"),
    );
  }

  users(row) {
    const { data, tally } = this.view;
    return this.view.details.usersOf(tally.pairsOf(row).map((pair) => [data.facts.person[pair], pair]));
  }
}
