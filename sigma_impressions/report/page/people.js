/* The section of people: how active they are, which licences are used, and what opens below a person. */

class People {
  constructor(view) {
    this.view = view;
    const { data } = view;
    const { people, meta } = data;
    this.text = Object.fromEntries(
      ["user", "name", "tier", "type", "kind"].map((name) => [name, data.text(people[name])]),
    );
    const { text } = this;
    const teams = (row) => (people.teams[row] ?? []).map((team) => data.teams[team]).join(", ");
    const tiers = Object.keys(TIERS);
    const views = (row) => view.tally.person.impressions[row];
    const matches = data.matcher(people.user, people.name);
    this.grid = new Grid(find("people-table"), {
      caption: "People",
      placeholder: meta.hasMembers ? "Name or address" : "User",
      empty: "Nobody matches.",
      file: () => view.file("people"),
      sorted: "impressions",
      descending: true,
      matches,
      filters: [
        {
          id: "views",
          label: "Views",
          all: "With and without",
          value: (row) => (views(row) > 0 ? "some" : "none"),
          choices: { some: "Viewed in the period", none: "Not viewed in it" },
        },
        {
          id: "tier",
          label: "Tier",
          all: "Any tier",
          value: text.tier,
          choices: labels(
            Object.fromEntries(tiers.slice(0, meta.hasMembers ? 7 : 4).map((tier) => [tier, TIERS[tier]])),
          ),
        },
        {
          id: "new",
          label: "Since",
          all: "New or not",
          choices: { 1: "New in 14 days" },
          value: (row) => String(people.new[row]),
        },
      ],
      details: {
        label: (row) => `Days and workbooks of ${text.user(row)}`,
        content: (row) => this.details(row),
        ...view.opens("person", text.user),
      },
      columns: [
        {
          id: "user",
          label: "User",
          text: true,
          kind: "name",
          value: text.user,
          cell: (row) =>
            make(
              "div",
              {},
              line(text.name(row) ?? text.user(row) ?? UNKNOWN, ""),
              text.name(row) === null ? null : line(text.user(row)),
              line([text.type(row), teams(row)].filter(Boolean).join(" · ")),
            ),
        },
        {
          id: "tier",
          label: "Tier",
          kind: "tier",
          value: (row) => tiers.length - tiers.indexOf(text.tier(row)),
          hint: "How active in 30 days, everywhere",
          saved: text.tier,
          cell: (row) =>
            make(
              "span",
              {},
              badge(TIERS[text.tier(row)] ?? [text.tier(row) ?? UNKNOWN, ""]),
              " ",
              people.new[row] ? badge(["New", "accent"]) : null,
              people.member[row] && !people.licensed[row] ? badge(NO_LICENCE) : null,
            ),
        },
        column.count("impressions", () => `Impressions, ${view.tally.period} days`, views),
        column.count("now", "14 complete days", (row) => data.complete.now && view.tally.person.now[row], {
          hint: "Impressions of the last 14 complete days",
          title: "Impressions, 14 complete days",
          less: true,
        }),
        column.count("days", "Active days", (row) => view.tally.activeDays(row), { hint: "Of the period", less: true }),
        column.count("workbooks", "Workbooks", (row) => view.tally.person.workbooks[row], {
          hint: "With data models, in the period",
          less: true,
        }),
        column.share("share", "Share", (row) => (this.all ? views(row) / this.all : null), {
          hint: "Of the impressions of everybody who is shown",
          less: true,
        }),
        column.date("last", "Last viewed", (row) => people.last[row], { less: true, hint: "Anything, ever" }),
      ],
      also: meta.hasMembers
        ? [
            ["Name", text.name],
            ["Account type", text.type],
            ["Kind", text.kind],
            ["Teams", teams],
            ["May use Sigma", (row) => (people.licensed[row] ? "yes" : "no")],
            ["Days a member", (row) => people.age[row]],
            ["First viewed", (row) => (people.first[row] === null ? null : day(people.first[row]))],
          ]
        : [["First viewed", (row) => (people.first[row] === null ? null : day(people.first[row]))]],
    });
  }

  show() {
    const { data, tally } = this.view;
    this.rows = range(data.peopleCount).filter((row) => tally.isChosen(row));
    this.all = total(this.rows.map((row) => tally.person.impressions[row]));
    this.tiers();
    this.licences();
    this.concentration();
    this.grid.update(this.rows);
    const { choice } = tally;
    find("people-note").textContent =
      `Impressions of ${tally.period} days to ${longDay(data.meta.asOf)}.` +
      (choice.isOfWorkbooks ? " Views are those of the workbooks chosen; tier, new and last view are of all." : "") +
      (data.meta.cut ? ` ${cutNote(data.meta.cut)}` : "");
  }

  reveal(user) {
    const row = range(this.view.data.peopleCount).find((place) => this.text.user(place) === user);
    return row !== undefined && this.grid.reveal(row) ? row : null;
  }

  tiers() {
    const { data, tally } = this.view;
    const shown = Object.entries(TIERS).slice(0, data.meta.hasMembers ? 7 : 4);
    const rows = shown.map(([tier, [label]]) => {
      const found = this.rows.filter((row) => this.text.tier(row) === tier);
      const impressions = total(found.map((row) => tally.person.impressions[row]));
      const share = this.rows.length ? found.length / this.rows.length : 0;
      return [
        label,
        shareBar(1, share, tier),
        number(found.length),
        percent(share),
        percent(this.all ? impressions / this.all : 0),
      ];
    });
    const noun = data.meta.hasMembers ? "People" : "Users";
    find("tiers").replaceChildren(
      plainTable(
        "People by how active they are",
        [["Tier"], [""], [noun, true], [`of ${noun.toLowerCase()}`, true, true], ["of views", true]],
        rows,
      ),
    );
    const [fresh, lapsed] = [newOrLapsed(this.view, "new").length, newOrLapsed(this.view, "lapsed").length];
    find("tiers-note").textContent =
      "On how many of the last 30 days somebody viewed something decides. Lapsed: in the " +
      `30 days before, but not since. ${
        data.meta.hasMembers
          ? "Dormant: before the 60 days only. Never: a member who " +
            "never viewed anything; unknown: that cannot be told yet. "
          : ""
      }New in the last 14 days: ${number(fresh)}; ` +
      `lapsed: ${number(lapsed)}.`;
  }

  /* Licences of members who may use Sigma, by account type and kind. */
  licences() {
    const { data, tally } = this.view;
    find("licences-card").hidden = !data.meta.hasMembers;
    if (!data.meta.hasMembers) return;
    const groups = new Map();
    for (const row of this.rows) {
      if (data.people.licensed[row] !== 1) continue;
      const kind = this.text.kind(row);
      const name = [this.text.type(row) ?? "(no type)", kind].filter(Boolean).join(", ");
      if (!groups.has(name)) groups.set(name, { members: 0, active: 0, lapsed: 0, dormant: 0, never: 0, unknown: 0 });
      const group = groups.get(name);
      group.members += 1;
      if (tally.activeDays(row) > 0) group.active += 1;
      if (this.text.tier(row) in group) group[this.text.tier(row)] += 1;
    }
    this.licensed = [...groups].sort(
      ([one, first], [other, second]) => second.members - first.members || COLLATOR.compare(one, other),
    );
    const sums = Object.keys(LICENCE_COLUMNS).map((name) => total(this.licensed.map(([, group]) => group[name])));
    const rows = this.licensed.map(([name, group]) => [
      named(name),
      ...Object.keys(LICENCE_COLUMNS).map((column) => number(group[column])),
    ]);
    if (rows.length > 1) rows.push(["All", ...sums.map(number)]);
    find("licences").replaceChildren(
      plainTable(
        "Licences by account type",
        [
          ["Account type"],
          ...Object.entries(LICENCE_COLUMNS).map(([name, label]) => [
            name === "active" ? `Active, ${tally.period} days` : label,
            true,
            ["lapsed", "dormant", "unknown"].includes(name),
          ]),
        ],
        rows,
      ),
    );
  }

  saveLicences() {
    save(
      this.view.file("licences"),
      ["Account type", ...Object.values(LICENCE_COLUMNS)],
      this.licensed.map(([name, group]) => [name, ...Object.keys(LICENCE_COLUMNS).map((column) => group[column])]),
    );
  }

  concentration() {
    const { tally } = this.view;
    const views = this.rows
      .map((row) => tally.person.impressions[row])
      .filter((value) => value > 0)
      .sort((one, other) => other - one);
    const shares = [0];
    for (const value of views) shares.push(shares.at(-1) + value / this.all);
    const top = Math.ceil(views.length / 10);
    find("concentration-note").textContent = views.length
      ? `The top 10% of the ${counted(views.length, "person", "people")} with views in ${tally.period} days ` +
        `(${number(top)}) make ${percent(shares[top])} of the impressions. The dotted line would be everybody the same.`
      : "Nobody viewed anything in the period.";
    find("concentration").replaceChildren(views.length ? concentrationChart(shares) : "");
  }

  details(row) {
    const { data, tally } = this.view;
    const { people } = data;
    const pairs = data.pairsOfPerson(row).filter(([workbook]) => tally.hasWorkbook[workbook]);
    const facts = [
      people.first[row] === null ? "no captured view" : `first captured view ${longDay(people.first[row])}`,
      people.age[row] === null || people.age[row] === undefined
        ? null
        : `a member for ${counted(people.age[row], "day")}`,
      this.text.kind(row),
    ]
      .filter(Boolean)
      .join(" · ");
    const viewed = pairs
      .map(([workbook, pair]) => ({ workbook, ...tally.ofPair(pair) }))
      .filter(({ impressions }) => impressions > 0)
      .sort((one, other) => other.impressions - one.impressions || one.workbook - other.workbook);
    return make(
      "div",
      { class: "below" },
      make("p", { class: "sub" }, facts),
      this.view.details.daysOf(
        pairs.map(([, pair]) => pair),
        this.text.user(row),
      ),
      detail(
        `In ${tally.period} days ${this.view.details.counted(viewed.map(({ workbook }) => workbook))}`,
        "workbooks",
        [["Workbook"], ["Impressions", true], ["Active days", true], ["Last viewed", true, true]],
        viewed,
        ({ workbook, impressions, days, last }) => [
          this.view.details.workbook(workbook),
          number(impressions),
          number(days),
          day(data.meta.firstDay + last),
        ],
      ),
    );
  }
}

const LICENCE_COLUMNS = {
  members: "Members",
  active: "Active",
  lapsed: "Lapsed",
  dormant: "Dormant",
  never: "Never",
  unknown: "Unknown",
};
