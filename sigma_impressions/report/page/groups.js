/* The sections of teams, folders and owners: a table each, which opens to the workbooks and people of a row. */

/* Those who are in no team, behind the teams. */
const OTHER_PEOPLE = [
  "Members in no team",
  "Members whose teams are not known",
  "Members who may not use Sigma",
  "Not members",
];

class Teams {
  constructor(view) {
    this.view = view;
    const { data } = view;
    find("teams-card").hidden = !data.meta.hasTeams;
    find("no-teams").hidden = Boolean(data.meta.hasTeams);
    if (!data.meta.hasTeams) return;
    this.names = [...data.teams, ...OTHER_PEOPLE];
    this.members = this.grouped();
    const of = (name) => (place) => this.figures[place][name];
    this.grid = new Grid(find("teams-table"), {
      caption: "Teams",
      placeholder: "Team",
      empty: "No team matches.",
      file: () => view.file("teams"),
      sorted: "impressions",
      descending: true,
      matches: (word) => (place) => folded(this.names[place]).includes(word),
      details: {
        label: (place) => `Workbooks and people of ${this.names[place]}`,
        content: (place) => this.details(place),
        ...view.opens("team", (place) => this.names[place]),
      },
      columns: [
        {
          id: "team",
          label: "Team",
          text: true,
          kind: "name",
          value: (place) => this.names[place],
          cell: (place) => named(this.names[place], null, place < data.teams.length ? "clamp" : "clamp muted"),
        },
        column.count("members", "People", of("people")),
        column.count("active", () => `Active, ${view.tally.period} days`, of("active")),
        column.count("never", "Never viewed", of("never"), { less: true, hint: "Members of the tier never" }),
        column.count("impressions", () => `Impressions, ${view.tally.period} days`, of("impressions")),
        column.count("workbooks", "Workbooks", of("workbooks"), {
          less: true,
          hint: "Current ones, viewed in the period",
        }),
        column.trend((place) => view.tally.compared(this.figures[place].now, this.figures[place].before)),
        view.details.topColumn((place) => this.figures[place].top),
      ],
    });
  }

  /* The people of each team and of the other groups. */
  grouped() {
    const { people, teams, peopleCount } = this.view.data;
    const groups = this.names.map(() => []);
    for (let row = 0; row < peopleCount; row += 1) {
      const others = (place) => groups[teams.length + place].push(row);
      if (people.member[row] !== 1) others(3);
      else if (people.licensed[row] !== 1) others(2);
      else if (people.teams[row] === null) others(1);
      else if (!people.teams[row].length) others(0);
      else people.teams[row].forEach((team) => groups[team].push(row));
    }
    return groups;
  }

  show() {
    const { data, tally } = this.view;
    find("groups-note").textContent =
      `Impressions of ${tally.period} days to ${longDay(data.meta.asOf)}` +
      `${tally.choice.words ? `, of what is chosen only: ${tally.choice.words}` : ""}.`;
    if (!data.meta.hasTeams) return;
    const tier = data.text(data.people.tier);
    const books = this.books();
    this.figures = this.members.map((rows, place) => {
      const found = rows.filter((row) => tally.isChosen(row));
      const sum = (values) => total(found.map((row) => values[row]));
      return {
        rows: found,
        people: found.length,
        active: found.filter((row) => tally.activeDays(row) > 0).length,
        never: found.filter((row) => tier(row) === "never").length,
        impressions: sum(tally.person.impressions),
        now: sum(tally.person.now),
        before: sum(tally.person.before),
        ...books[place],
      };
    });
    this.grid.update(range(this.names.length).filter((place) => this.figures[place].people));
  }

  /* How many current workbooks each group viewed in the period, and the one that it viewed most. */
  books() {
    const { data, tally } = this.view;
    const groups = Array.from({ length: data.peopleCount }, () => []);
    this.members.forEach((rows, place) => rows.forEach((row) => groups[row].push(place)));
    const found = this.names.map(() => ({ workbooks: 0, top: null, most: 0 }));
    const views = new Float64Array(this.names.length);
    for (let workbook = 0; workbook < data.workbookCount; workbook += 1) {
      if (!tally.hasWorkbook[workbook] || !data.isPresent[workbook] || data.isModel[workbook]) continue;
      views.fill(0);
      for (const pair of tally.pairsOf(workbook)) {
        const person = data.facts.person[pair];
        if (person >= data.peopleCount || !groups[person].length) continue;
        const { impressions } = tally.ofPair(pair);
        for (const place of groups[person]) views[place] += impressions;
      }
      views.forEach((count, place) => {
        if (count === 0) return;
        found[place].workbooks += 1;
        if (count > found[place].most) Object.assign(found[place], { most: count, top: workbook });
      });
    }
    return found.map(({ workbooks, top }) => ({ workbooks, top }));
  }

  reveal(name) {
    const place = this.grid ? this.names.indexOf(name) : -1;
    return place >= 0 && this.grid.reveal(place) ? place : null;
  }

  details(place) {
    const { data, tally } = this.view;
    const isIn = new Uint8Array(data.peopleCount + 2);
    this.figures[place].rows.forEach((row) => {
      isIn[row] = 1;
    });
    const pairs = range(data.workbookCount)
      .filter((workbook) => tally.hasWorkbook[workbook])
      .flatMap((workbook) =>
        data
          .pairsOf(workbook)
          .filter((pair) => isIn[data.facts.person[pair]])
          .map((pair) => [workbook, pair]),
      );
    const only = place < data.teams.length ? { team: this.names[place] } : null;
    return this.view.details.group(pairs, this.names[place], only, this.figures[place].rows);
  }
}

/* Folders or owners: groups of current workbooks. `groupsOf` makes a map of the name of each group, or null, to its
   workbooks. */
class WorkbookGroups {
  constructor(view, { name, noun, groupsOf, nameCell, empty }) {
    this.view = view;
    this.name = name;
    this.noun = noun;
    this.empty = empty;
    const groups = groupsOf(view.data);
    this.names = [...groups.keys()];
    this.workbooks = [...groups.values()];
    const of = (figure) => (place) => this.figures[place][figure];
    this.grid = new Grid(find(`${name}s-table`), {
      caption: `${noun}s`,
      placeholder: noun,
      empty: `No ${name} matches.`,
      file: () => view.file(`${name}s`),
      sorted: "impressions",
      descending: true,
      matches: (word) => (place) => folded(this.names[place] ?? "").includes(word),
      details: {
        label: (place) => `Workbooks and people of ${this.nameOf(place)}`,
        content: (place) => this.details(place),
        ...view.opens(name, (place) => this.names[place] ?? ""),
      },
      columns: [
        {
          id: "name",
          label: noun,
          text: true,
          kind: "name",
          value: (place) => this.names[place],
          cell: (place) =>
            this.names[place] === null ? named(empty, null, "clamp muted") : nameCell(this.names[place]),
        },
        column.count("workbooks", "Workbooks", of("workbooks"), { hint: "Current ones" }),
        column.count("used", () => `Viewed, ${view.tally.period} days`, of("used"), { less: true, hint: "Workbooks" }),
        column.count("underused", "Underused", of("underused"), { less: true, hint: "In 60 days, of everybody" }),
        column.count("impressions", () => `Impressions, ${view.tally.period} days`, of("impressions")),
        column.count("viewers", "Users", of("viewers"), { less: true, hint: "In the period" }),
        column.trend((place) => view.tally.compared(this.figures[place].now, this.figures[place].before)),
        view.details.topColumn(of("top")),
      ],
    });
  }

  nameOf(place) {
    return this.names[place] ?? this.empty;
  }

  show() {
    const { data, tally } = this.view;
    const { workbook } = tally;
    const seen = new Int32Array(data.peopleCount + 2).fill(-1);
    this.figures = this.workbooks.map((all, place) => {
      const rows = all.filter((row) => tally.hasWorkbook[row]);
      const sum = (values) => total(rows.map((row) => values[row]));
      let [viewers, top] = [0, null];
      for (const row of rows) {
        if (workbook.impressions[row] === 0) continue;
        if (top === null || workbook.impressions[row] > workbook.impressions[top]) top = row;
        for (const pair of tally.pairsOf(row)) {
          const person = data.facts.person[pair];
          if (person >= data.peopleCount || seen[person] === place || !tally.isViewed(pair)) continue;
          seen[person] = place;
          viewers += 1;
        }
      }
      return {
        rows,
        workbooks: rows.length,
        used: rows.filter((row) => workbook.impressions[row] > 0).length,
        underused: rows.filter((row) => data.workbooks.code[row] !== null).length,
        impressions: sum(workbook.impressions),
        now: sum(workbook.now),
        before: sum(workbook.before),
        viewers,
        top,
      };
    });
    // Folders around the one that is chosen would hold a part of theirs only.
    const chosen = tally.choice[this.name];
    const isShown = (name) =>
      chosen === null || name === chosen || (this.name === "folder" && name?.startsWith(`${chosen}/`));
    this.grid.update(
      range(this.names.length).filter((place) => this.figures[place].workbooks && isShown(this.names[place])),
    );
  }

  reveal(name) {
    const place = this.names.findIndex((known) => (known ?? "") === name);
    return place >= 0 && this.grid.reveal(place) ? place : null;
  }

  details(place) {
    const { tally } = this.view;
    const { rows } = this.figures[place];
    const pairs = rows.flatMap((row) => tally.pairsOf(row).map((pair) => [row, pair]));
    const only = this.names[place] === null ? null : { [this.name]: this.names[place] };
    return this.view.details.group(pairs, this.nameOf(place), only, null, rows);
  }
}

/* The current workbooks of each folder, those of the folders in it among them. */
function foldersWithWorkbooks(data) {
  const groups = new Map();
  for (let row = 0; row < data.workbookCount; row += 1) {
    if (!data.isPresent[row] || data.isModel[row]) continue;
    const names = data.folder[row];
    const folders = names.length ? names.map((_, place) => names.slice(0, place + 1).join("/")) : [null];
    for (const folder of folders) put(groups, folder, row);
  }
  return new Map(
    [...groups].sort(([one], [other]) => (one === null) - (other === null) || COLLATOR.compare(one, other)),
  );
}

function ownersWithWorkbooks(data) {
  const groups = new Map();
  for (let row = 0; row < data.workbookCount; row += 1) {
    if (!data.isPresent[row] || data.isModel[row]) continue;
    put(groups, data.owner[row], row);
  }
  return groups;
}
