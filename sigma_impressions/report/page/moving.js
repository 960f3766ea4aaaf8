/* The section of what rises and falls: 14 complete days against the 14 before. */

const MOVERS = 8;

class Moving {
  constructor(view) {
    this.view = view;
    this.lists = { up: [], down: [] };
    for (const [direction, name] of [
      ["up", "rising"],
      ["down", "falling"],
    ]) {
      find(`${name}-csv`).addEventListener("click", () => this.save(name, this.lists[direction]));
    }
  }

  show() {
    const { data, tally } = this.view;
    const { now, before } = data.complete;
    const days = (place) => shortDay(data.meta.firstDay + place);
    find("moving-note").textContent = before
      ? `Impressions of the 14 complete days from ${days(now[0])} to ${days(now[1])} against those from ` +
        `${days(before[0])} to ${days(before[1])}, where they differ most. Current workbooks, with their elements.`
      : "Nothing can be said to rise or fall yet: not all days of two times 14 complete days were captured.";
    const moved =
      before === null
        ? []
        : range(data.workbookCount)
            .filter((row) => tally.hasWorkbook[row] && data.isPresent[row] && !data.isModel[row])
            .map((row) => ({ row, ...tally.trendOf(row) }));
    const most = (movements) =>
      moved
        .filter(({ movement }) => movements.includes(movement))
        .sort(
          (one, other) => Math.abs(other.now - other.before) - Math.abs(one.now - one.before) || one.row - other.row,
        );
    this.lists = { up: most(["riser", "new"]), down: most(["faller", "gone"]) };
    const empty = (how) => (before ? `No workbook is viewed clearly ${how} often than before.` : "Not known yet.");
    this.list("rising", this.lists.up, "up", empty("more"));
    this.list("falling", this.lists.down, "down", empty("less"));
  }

  list(name, found, direction, empty) {
    find(`${name}-csv`).hidden = !found.length;
    const shown = found.slice(0, MOVERS);
    const longest = Math.max(1, ...shown.map(({ now, before }) => Math.max(now, before)));
    const items = shown.map(({ row, now, before, share, movement }) => {
      const most = Math.max(now, before);
      const [label, tone] = movement === "gone" ? ["no longer viewed", "bad"] : MOVEMENTS[movement];
      return make(
        "li",
        {},
        make(
          "div",
          { class: "mover-name" },
          make(
            "bdi",
            { class: "clamp" },
            make("a", { href: this.view.address(["workbook", this.idOf(row)]) }, this.view.data.nameOf(row)),
          ),
        ),
        make(
          "div",
          { class: "mover-figures" },
          `${number(before)} `,
          make("span", { "aria-hidden": "true" }, "→"),
          make("span", { class: "sr" }, "then"),
          " ",
          make("strong", {}, number(now)),
          " ",
          badge([share === null || movement === "gone" ? label.toLowerCase() : signed(share), tone]),
        ),
        shareBar(most / longest, most ? now / most : 0, direction),
      );
    });
    find(`${name}-list`).replaceChildren(
      items.length ? make("ol", { class: "movers" }, ...items) : make("p", { class: "muted" }, empty),
      found.length > MOVERS
        ? make("p", { class: "muted under" }, `The ${MOVERS} of ${number(found.length)} that differ most.`)
        : "",
    );
  }

  idOf(row) {
    return this.view.data.text(this.view.data.workbooks.id)(row);
  }

  save(name, found) {
    const { data } = this.view;
    const { workbooks } = data;
    const text = (column) => data.text(workbooks[column]);
    save(
      this.view.file(name),
      ["Workbook", "Folder", "Owner", "14 days before", "14 complete days", "Change", "Trend", "URL"],
      found.map(({ row, now, before, share, movement }) => [
        data.nameOf(row),
        text("path")(row),
        text("owner")(row),
        before,
        now,
        share,
        MOVEMENTS[movement][0],
        data.link(workbooks.url)(row),
      ]),
    );
  }
}
