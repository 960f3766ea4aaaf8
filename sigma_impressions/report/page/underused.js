/* The section of what is underused in 60 days, by whomever: it follows the choice of folder and owner only. */

/* Rows of underused content in the folder and of the owner that are chosen. */
function chosenUnderused({ data, tally }) {
  const { folder, owner } = tally.choice;
  const [path, owners] = [data.text(data.underused.path), data.text(data.underused.owner)];
  const inside = folder === null ? null : `${folder}/`;
  return range(data.underused.name.length).filter(
    (row) =>
      (owner === null || owners(row) === owner) &&
      (inside === null || `${foldersOf(path(row)).join("/")}/`.startsWith(inside)),
  );
}

/* The workbooks among them that are not archived. */
function underusedWorkbooks(view) {
  const { underused } = view.data;
  const kind = view.data.text(underused.kind);
  return chosenUnderused(view).filter((row) => !underused.archived[row] && kind(row) === "sigma_workbook");
}

class Underused {
  constructor(view) {
    this.view = view;
    const { underused } = view.data;
    this.text = Object.fromEntries(
      ["name", "workbook", "path", "owner", "kind", "code", "reason", "id"].map((name) => [
        name,
        view.data.text(underused[name]),
      ]),
    );
    this.link = view.data.link(underused.url);
    this.unused = this.grid("underused-table", "Underused content", false);
    this.archived = this.grid("archived-table", "Underused content that is archived", true);
    this.owners = this.byOwner();
  }

  show() {
    const { view } = this;
    const { underused } = view.data;
    const rows = chosenUnderused(view);
    const archived = rows.filter((row) => underused.archived[row]);
    const isElement = (row) => this.text.kind(row) === "sigma_element";
    this.unused.update(rows.filter((row) => !underused.archived[row]));
    this.archived.update(archived);
    find("archived").hidden = !archived.length;
    find("archived-count").textContent = number(archived.length);
    this.owned = new Map();
    for (const row of rows) {
      if (underused.archived[row] || isElement(row)) continue;
      put(this.owned, this.text.owner(row), row);
    }
    this.names = [...this.owned.keys()];
    this.owners.update(range(this.names.length));
    find("underused-note").textContent =
      "What nobody has viewed for 60 days, or only few people. What was made in the " +
      `last days is not in it.${
        view.tally.choice.isOfPeople
          ? " It is of the views of everybody: team and account type " + "are not followed here."
          : ""
      }`;
  }

  grid(host, caption, isArchived) {
    const { text } = this;
    const { underused } = this.view.data;
    return new Grid(find(host), {
      caption,
      placeholder: "Name, folder or owner",
      empty: isArchived ? "Nothing matches." : "Nothing that matches is underused.",
      file: () => this.view.file(isArchived ? "underused-archived" : "underused"),
      sorted: "impressions",
      descending: false,
      matches: this.view.data.matcher(underused.name, underused.workbook, underused.path, underused.owner),
      filters: [
        {
          id: "kind",
          label: "Kind",
          all: "All kinds",
          choices: RESOURCE_KINDS,
          value: text.kind,
          first: isArchived ? "" : "sigma_workbook",
        },
        { id: "code", label: "Reason", all: "Any reason", choices: REASONS, value: text.code },
      ],
      columns: [
        {
          id: "name",
          label: "Name",
          text: true,
          kind: "name",
          value: text.name,
          cell: (row) =>
            make(
              "div",
              {},
              named(text.name(row), this.link(row)),
              line(text.kind(row) === "sigma_element" ? `Element of ${text.workbook(row)}` : null),
              line(text.path(row)),
              line(text.owner(row), "sub narrow-only"),
            ),
        },
        {
          id: "owner",
          label: "Owner",
          text: true,
          kind: "owner",
          value: text.owner,
          cell: (row) => line(text.owner(row) ?? UNKNOWN, ""),
        },
        {
          id: "reason",
          label: "Reason",
          text: true,
          kind: "reason",
          value: text.reason,
          cell: (row) => make("span", {}, text.reason(row) ?? ""),
        },
        column.count("impressions", "Impressions, 60 days", (row) => underused.impressions[row], { less: true }),
        column.date("last", "Last viewed", (row) => underused.last[row], { less: true, hint: "By anybody, ever" }),
        column.date("changed", "Last changed", (row) => underused.changed[row], { less: true }),
        column.count("age", "Days old", (row) => underused.age[row], { less: true, kind: "n age" }),
      ],
      also: [
        ["Workbook", text.workbook],
        ["Folder", text.path],
        ["URL", this.link],
      ],
    });
  }

  byOwner() {
    const { view, text } = this;
    const { underused } = view.data;
    const rowsOf = (place) => this.owned.get(this.names[place]);
    const never = (place) => rowsOf(place).filter((row) => text.code(row) === "never_seen").length;
    return new Grid(find("owners-of-underused-table"), {
      caption: "Underused workbooks and data models by owner",
      placeholder: "Owner",
      empty: "Nothing that matches is underused.",
      file: () => view.file("underused-by-owner"),
      sorted: "count",
      descending: true,
      matches: (word) => (place) => folded(this.names[place] ?? "").includes(word),
      details: {
        label: (place) => `Underused content of ${this.names[place] ?? "nobody"}`,
        content: (place) => this.details(rowsOf(place)),
      },
      columns: [
        {
          id: "owner",
          label: "Owner",
          text: true,
          kind: "name",
          value: (place) => this.names[place],
          cell: (place) => view.details.owner(this.names[place]),
        },
        column.count("count", "Underused", (place) => rowsOf(place).length),
        column.count("never", "Never viewed", never, { less: true }),
        column.count(
          "impressions",
          "Impressions, 60 days",
          (place) => total(rowsOf(place).map((row) => underused.impressions[row])),
          { less: true, hint: "Impressions of them" },
        ),
      ],
      /* A line for each of what is owned, so that the file can be sent to the owners. */
      saved: (places) => [
        [
          "Owner",
          "Kind",
          "Name",
          "Folder",
          "Reason",
          "Impressions, 60 days",
          "Last viewed",
          "Last changed",
          "Days old",
          "URL",
        ],
        places.flatMap((place) =>
          rowsOf(place).map((row) => [
            this.names[place],
            RESOURCE_KINDS[text.kind(row)].slice(0, -1),
            text.name(row),
            text.path(row),
            text.reason(row),
            underused.impressions[row],
            underused.last[row] === null ? null : day(underused.last[row]),
            underused.changed[row] === null ? null : day(underused.changed[row]),
            underused.age[row],
            this.link(row),
          ]),
        ),
      ],
    });
  }

  details(rows) {
    const { text } = this;
    const { underused } = this.view.data;
    return make(
      "div",
      { class: "below" },
      detail(
        counted(rows.length, "resource"),
        "resources",
        [["Name"], ["Reason"], ["Last viewed", true, true], ["Days old", true, true]],
        rows,
        (row) => [
          make("div", {}, named(text.name(row), this.link(row)), line(text.path(row))),
          text.reason(row) ?? "",
          day(underused.last[row]),
          number(underused.age[row]),
        ],
      ),
    );
  }
}
