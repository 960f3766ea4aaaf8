/* The first section: what usage is, and how it goes. */

class Overview {
  constructor(view) {
    this.view = view;
    /* Why, as the template says it. */
    this.notCompared = find("lead-note").textContent;
    this.days = { impressions: [], users: [], week: [], month: [], workbooks: [] };
    for (const [id, sentence] of [
      [
        "impressions-chart",
        (place) =>
          `${number(this.days.impressions[place])} impressions, ${number(this.days.workbooks[place])} workbooks`,
      ],
      [
        "users-chart",
        (place) => `${["users", "week", "month"].map((name) => number(this.days[name][place])).join(", ")} users`,
      ],
    ])
      this.readout(find(id), sentence);
    find("days-csv").addEventListener("click", () => this.save());
  }

  /* What the day under the pointer shows. */
  readout(chart, sentence) {
    const { meta } = this.view.data;
    const readout = chart.querySelector(".readout");
    chart.addEventListener("pointerover", ({ target }) => {
      const place = target.dataset?.day;
      if (place === undefined) {
        readout.textContent = "";
        return;
      }
      const date = meta.firstDay + Number(place);
      readout.textContent =
        `${WEEKDAYS[weekday(date)]} ${day(date)}: ` +
        (meta.days.captured[place] ? sentence(place) : "not captured") +
        (meta.days.captured[place] && !meta.days.complete[place] ? " (not complete yet)" : "");
    });
    chart.addEventListener("pointerleave", () => {
      readout.textContent = "";
    });
  }

  show() {
    const { data, tally } = this.view;
    this.days = this.figures(data, tally);
    this.lead(data, tally);
    this.cards(data, tally);
    this.charts(data);
    this.week(data);
    this.table(data);
  }

  /* The figures of each of the days; null where they are not known. */
  figures({ meta }, tally) {
    const stretches = (length) => range(DAYS).map((place) => [place - length + 1, place]);
    const since = meta.capturedSince === null ? DAYS : Math.max(0, meta.capturedSince - meta.firstDay);
    const known = (values, length = 1) =>
      values.map((value, place) =>
        meta.days.captured[place] && (length === 1 || place - length + 1 >= since) ? value : null,
      );
    const users = tally.usersIn([...stretches(1), ...stretches(7), ...stretches(30)]);
    return {
      impressions: known([...tally.day]),
      users: known(users.slice(0, DAYS)),
      week: known(users.slice(DAYS, 2 * DAYS), 7),
      month: known(users.slice(2 * DAYS), 30),
      workbooks: known(tally.workbooksIn(stretches(1))),
    };
  }

  lead({ meta, complete }, tally) {
    const lead = find("lead");
    const stretch = complete.now ?? [tally.firstOfPeriod, DAYS - 1];
    const [people] = tally.usersIn([stretch]);
    const [books] = tally.workbooksIn([stretch]);
    const views = tally.impressionsIn(stretch);
    const before = complete.before && tally.impressionsIn(complete.before);
    const strong = (text) => make("strong", {}, text);
    lead.replaceChildren(
      complete.now
        ? `In the ${COMPARED_DAYS} complete days to ${longDay(meta.lastComplete)}, `
        : `In the ${tally.period} days to ${longDay(meta.asOf)}, of which not all are captured completely, `,
      strong(counted(people, "person", "people")),
      " viewed ",
      strong(counted(books, "workbook")),
      " ",
      strong(counted(views, "time")),
      comparison(views, before),
      ".",
    );
    const notes = [];
    if (tally.choice.words) notes.push(`Of what is chosen only: ${tally.choice.words}.`);
    if (complete.before === null && this.notCompared) notes.push(this.notCompared);
    const missing = range(DAYS).filter((place) => !meta.days.captured[place]);
    if (missing.length) notes.push(`Not captured: ${counted(missing.length, "day")} of the 60.`);
    if (tally.choice.isOfPeople) notes.push("Views of nobody in particular are left out.");
    if (meta.cut) notes.push(cutNote(meta.cut));
    find("lead-note").textContent = notes.join(" ");
    find("lead-note").hidden = !notes.length;
  }

  cards({ meta, complete, peopleCount, people, isPresent, isModel, workbookCount }, tally) {
    const stretch = [tally.firstOfPeriod, DAYS - 1];
    const { now, before } = complete;
    const pair = (of) => (now ? of(before ? [now, before] : [now]) : [null]);
    const toDay = now ? `to ${shortDay(meta.lastComplete)}` : "";
    const days = `${COMPARED_DAYS} complete days`;
    const current = range(workbookCount).filter((row) => isPresent[row] && !isModel[row] && tally.hasWorkbook[row]);
    const used = current.filter((row) => tally.workbook.impressions[row] > 0).length;
    const ofCurrent = current.length ? ` (${percent(used / current.length)})` : "";
    const chosen = range(peopleCount).filter((row) => tally.isChosen(row));
    const licensed = chosen.filter((row) => people.licensed[row] === 1);
    const active = licensed.filter((row) => tally.activeDays(row) > 0).length;
    const of = (tier) => newOrLapsed(this.view, tier).length;
    const isPartial = meta.lastComplete === null || meta.lastComplete < meta.asOf;
    const toEnd = `to ${shortDay(meta.asOf)}${isPartial ? ", which is not complete" : ""}`;
    find("cards").replaceChildren(
      card(
        "complete_impressions",
        `Impressions, ${days}`,
        pair((all) => all.map((one) => tally.impressionsIn(one))),
        toDay,
        "less",
      ),
      card(
        "complete_users",
        `Active users, ${days}`,
        pair((all) => tally.usersIn(all)),
        toDay,
      ),
      card(
        "complete_workbooks",
        `Workbooks viewed, ${days}`,
        pair((all) => tally.workbooksIn(all)),
        toDay,
      ),
      card(
        "underused",
        "Underused workbooks, 60 days",
        [underusedWorkbooks(this.view).length],
        tally.choice.isOfPeople ? "of everybody, not of the people chosen" : "not viewed, or by few",
      ),
      card("period_impressions", `Impressions, ${tally.period} days`, [tally.impressionsIn(stretch)], toEnd),
      card(
        "period_users",
        `Active users, ${tally.period} days`,
        tally.usersIn([stretch]),
        meta.hasMembers ? `${number(active)} of ${counted(licensed.length, "member")} who may use Sigma` : toEnd,
      ),
      card(
        "period_workbooks",
        `Current workbooks viewed, ${tally.period} days`,
        [used],
        `of ${number(current.length)}${ofCurrent}, with their elements`,
      ),
      card("new_users", "New users, 14 days", [of("new")], `first view in these days; ${number(of("lapsed"))} lapsed`),
    );
  }

  charts({ meta }) {
    const { firstDay, days } = meta;
    const { impressions, users, week, month } = this.days;
    const mean = impressions.map((_, place) => {
      const seven = impressions.slice(place - 6, place + 1);
      const isKnown = place >= 6 && seven.every((value) => value !== null) && days.complete[place];
      return isKnown ? total(seven) / 7 : null;
    });
    const drawIn = (id, options) => {
      find(id)
        .querySelectorAll("svg")
        .forEach((old) => old.remove());
      find(id).append(...daysChart({ firstDay, days, ...options }));
    };
    drawIn("impressions-chart", {
      label: "Impressions per day over 60 days; the figures follow as a table.",
      bars: impressions,
      lines: { mean },
      widths: WIDTHS,
    });
    const complete = (values) => values.map((value, place) => (days.complete[place] ? value : null));
    drawIn("users-chart", {
      label: "Active users on the day, in 7 and in 30 days; the figures follow as a table.",
      lines: {
        monthly_active_users: complete(month),
        weekly_active_users: complete(week),
        active_users: complete(users),
      },
      widths: HALF_WIDTHS,
    });
    const isMissing = days.captured.includes(0);
    const isPartial = days.captured.some((isCaptured, place) => isCaptured && !days.complete[place]);
    document.querySelectorAll(".key.missing").forEach((key) => {
      key.hidden = !isMissing;
    });
    document.querySelectorAll(".key.incomplete").forEach((key) => {
      key.hidden = !isPartial;
    });
  }

  /* The mean of each weekday over the days that are captured and complete. */
  week({ meta }) {
    const means = WEEKDAYS.map((name, which) => {
      const places = range(DAYS).filter(
        (place) => weekday(meta.firstDay + place) === which && meta.days.captured[place] && meta.days.complete[place],
      );
      const mean = (values) => total(places.map((place) => values[place])) / places.length;
      return {
        name,
        which,
        count: places.length,
        impressions: mean(this.days.impressions),
        users: mean(this.days.users),
      };
    }).filter(({ count }) => count);
    const most = Math.max(1, ...means.map(({ impressions }) => impressions));
    find("week").replaceChildren(
      plainTable(
        "Mean of each weekday over the complete days that were captured",
        [["Day"], [""], ["Impressions", true], ["Users", true]],
        means.map(({ name, which, impressions, users }) => [
          name,
          shareBar(1, impressions / most, which > 4 ? "weekend" : "even"),
          number(Math.round(impressions)),
          number(Math.round(users)),
        ]),
        "No complete day yet",
      ),
    );
  }

  table({ meta }) {
    const rows = range(DAYS).map((place) => {
      const date = meta.firstDay + place;
      const cells = this.cells(place);
      return make(
        "tr",
        { class: weekday(date) > 4 ? "weekend" : null },
        make("th", { scope: "row" }, day(date)),
        make("td", {}, WEEKDAYS[weekday(date)]),
        ...cells.map((value) => make("td", { class: "n" }, number(value))),
        make("td", { class: "muted" }, this.remark(place)),
      );
    });
    find("days-table").tBodies[0].replaceChildren(...rows);
  }

  cells(place) {
    const { impressions, users, week, month, workbooks } = this.days;
    return [impressions, users, week, month, workbooks].map((values) => values[place]);
  }

  remark(place) {
    const { captured, complete } = this.view.data.meta.days;
    return captured[place] ? (complete[place] ? "" : "not complete yet") : "not captured";
  }

  save() {
    const { firstDay } = this.view.data.meta;
    save(
      this.view.file("days"),
      ["Day", "Impressions", "Users", "in 7 days", "in 30 days", "Workbooks", "Remark"],
      range(DAYS).map((place) => [day(firstDay + place), ...this.cells(place), this.remark(place)]),
    );
  }
}

/* The end of a sentence on a figure, of which another was there before; null is not known. */
function comparison(now, before) {
  if (before === null) return "";
  if (before === 0) return now === 0 ? ", as in the 14 days before" : "; in the 14 days before nothing was viewed";
  if (now === before) return ", as often as in the 14 days before";
  const share = now / before - 1;
  return `, ${percent(Math.abs(share), 1)} ${share > 0 ? "more" : "less"} than in the 14 days before`;
}

/* A figure, and the one before it if that is known. */
function card(metric, label, [value, before = null], note, less = "fewer") {
  const content = [make("span", { class: "value", "data-value": value }, number(value))];
  if (before !== null) content.push(change(value, before, less));
  if (note) content.push(make("p", { class: "note" }, note));
  return make(
    "div",
    { class: "card figure", "data-metric": metric },
    make("dt", {}, label),
    make("dd", {}, ...content),
  );
}

function change(value, before, less) {
  if (value === before) return make("p", { class: "change" }, "= ", make("span", { class: "muted" }, "as before"));
  const isMore = value > before;
  const much = before ? percent(Math.abs(value / before - 1), 1) : number(value);
  return make(
    "p",
    { class: "change" },
    make(
      "span",
      { class: isMore ? "good" : "bad" },
      make("span", { "aria-hidden": "true" }, isMore ? "▲" : "▼"),
      ` ${much} ${isMore ? "more" : less}`,
    ),
    make("span", { class: "muted" }, ` than ${number(before)} before`),
  );
}

function cutNote({ pairs, shown, impressions, impressionsShown }) {
  return (
    `Who viewed which workbook is known of the ${number(shown)} most frequent pairs of person and workbook of ` +
    `${number(pairs)}, with ${percent(impressionsShown / impressions, 1)} of the impressions: users of workbooks, ` +
    "folders and owners, and workbooks of people and teams, are of these. Impressions and people as such are complete."
  );
}

/* People who are new or lapsed, among those chosen: with workbooks chosen, those with a view of one of them. */
function newOrLapsed({ data, tally }, which) {
  const tier = data.text(data.people.tier);
  const window = span(0, DAYS - 1);
  return range(data.peopleCount).filter(
    (row) =>
      (which === "new" ? data.people.new[row] === 1 : tier(row) === which) &&
      tally.isChosen(row) &&
      (!tally.choice.isOfWorkbooks || tally.person.days.isIn(row, window)),
  );
}
