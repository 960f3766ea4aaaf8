/* What opens below a row, and the cells that several sections have. */

class Details {
  constructor(view) {
    this.view = view;
  }

  ofEverybody(noun) {
    return this.view.tally.choice.isOfPeople
      ? `${noun} do not follow the choice of team and account type: these are of everybody.`
      : null;
  }

  workbook(row) {
    const id = this.view.data.text(this.view.data.workbooks.id)(row);
    return make(
      "bdi",
      { class: "clamp", dir: "auto" },
      make("a", { href: this.view.address(["workbook", id]) }, this.view.data.nameOf(row)),
    );
  }

  person(row) {
    const { people } = this.view.data;
    const [user, name] = [this.view.data.userOf(row), this.view.data.text(people.name)(row)];
    return make(
      "div",
      {},
      make(
        "bdi",
        { class: "line", dir: "auto" },
        make("a", { href: this.view.address(["person", user]) }, name ?? user),
      ),
      name === null ? null : line(user),
    );
  }

  /* An owner: by the address, and that nobody has it any more who could be asked. */
  owner(address) {
    if (address === null) return named("(no owner)", null, "clamp muted");
    this.mayUse ??= new Set(
      range(this.view.data.peopleCount)
        .filter((row) => this.view.data.people.licensed[row] === 1)
        .map((row) => this.view.data.userOf(row)),
    );
    const hasLeft = this.view.data.meta.hasMembers && !this.mayUse.has(address);
    return make("div", {}, named(address), hasLeft ? badge(NO_LICENCE) : null);
  }

  topColumn(topOf) {
    return {
      id: "top",
      label: "Most viewed",
      kind: "top",
      less: true,
      text: true,
      value: (row) => (topOf(row) === null ? null : this.view.data.nameOf(topOf(row))),
      cell: (row) => (topOf(row) === null ? make("span", { class: "muted" }, UNKNOWN) : this.workbook(topOf(row))),
    };
  }

  /* A small chart of the days of some pairs. */
  daysOf(pairs, name) {
    const { meta } = this.view.data;
    const bars = this.view.data.daysOf(pairs).map((count, place) => (meta.days.captured[place] ? count : null));
    return make(
      "figure",
      { class: "detail chart" },
      make("h4", {}, "Impressions per day, 60 days"),
      ...daysChart({
        firstDay: meta.firstDay,
        days: meta.days,
        bars,
        widths: DETAIL_WIDTHS,
        label: `Impressions of ${name} per day, at most ${number(Math.max(0, ...bars))}`,
      }),
    );
  }

  /* The people of some [person, pair], the most frequent first; several pairs of one are added. */
  usersOf(found, all = null) {
    const { tally, data } = this.view;
    const people = new Map((all ?? []).map((person) => [person, { person, impressions: 0, last: null }]));
    let unnamed = 0;
    for (const [person, pair] of found) {
      const { impressions, last } = tally.ofPair(pair);
      if (impressions === 0) continue;
      if (person >= data.peopleCount) unnamed += impressions;
      else {
        const known = people.get(person) ?? { person, impressions: 0, last: null };
        people.set(person, {
          person,
          impressions: known.impressions + impressions,
          last: Math.max(known.last ?? 0, last),
        });
      }
    }
    const sorted = [...people.values()].sort(
      (one, other) => other.impressions - one.impressions || one.person - other.person,
    );
    const viewers = sorted.filter(({ impressions }) => impressions > 0).length;
    const without = sorted.length - viewers;
    const note = unnamed
      ? `${counted(unnamed, "impression")} besides ${unnamed === 1 ? "is" : "are"} of ` +
        `${data.meta.cut ? "people who are not shown, or of " : ""}nobody in particular.`
      : null;
    const tier = data.text(data.people.tier);
    return detail(
      `${counted(viewers, "user")} in ${tally.period} days${without ? `, ${number(without)} others` : ""}`,
      "people",
      [["User"], ["Impressions", true], ["Tier", false, true], ["Last viewed", true, true]],
      sorted,
      ({ person, impressions, last }) => [
        this.person(person),
        number(impressions),
        badge(TIERS[tier(person)] ?? [tier(person) ?? UNKNOWN, ""]),
        last === null ? UNKNOWN : day(data.meta.firstDay + last),
      ],
      note,
    );
  }

  /* How many workbooks these are: the current ones as the tables count them, and the others. */
  counted(rows) {
    const { isPresent, isModel } = this.view.data;
    const current = rows.filter((row) => isPresent[row] && !isModel[row]).length;
    const others = rows.length - current;
    return (
      counted(current, "current workbook") +
      (others ? `, and ${number(others)} more: data models, archived, deleted or unknown ones` : "")
    );
  }

  /* What opens below a team, folder or owner: its days, workbooks and people. */
  group(pairs, name, only, people = null, workbooks = null) {
    const { tally, data } = this.view;
    const views = new Map((workbooks ?? []).map((row) => [row, 0]));
    for (const [row, pair] of pairs) views.set(row, (views.get(row) ?? 0) + tally.ofPair(pair).impressions);
    const found = [...views]
      .filter(([, impressions]) => workbooks !== null || impressions > 0)
      .sort(([one, first], [other, second]) => second - first || one - other);
    const choose =
      only &&
      make(
        "p",
        {},
        make("a", { href: tally.choice.with(only).address("overview") }, `Choose ${name} for all sections`),
      );
    return make(
      "div",
      { class: "below" },
      choose,
      this.daysOf(
        pairs.map(([, pair]) => pair),
        name,
      ),
      detail(
        this.counted(found.map(([row]) => row)),
        "workbooks",
        [["Workbook"], [`Impressions, ${tally.period} days`, true], ["Last viewed", true, true]],
        found,
        ([row, impressions]) => [this.workbook(row), number(impressions), day(data.workbooks.last[row])],
      ),
      this.usersOf(
        pairs.map(([, pair]) => [data.facts.person[pair], pair]),
        people,
      ),
    );
  }
}
