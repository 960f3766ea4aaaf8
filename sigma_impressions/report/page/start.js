/* The page as a whole: its sections, what they share, and where an address leads. */

class View {
  constructor(data) {
    this.data = data;
    this.options = new Options(data);
    this.place = null;
    this.opened = null;
    this.tally = null;
    this.due = [];
    this.details = new Details(this);
    this.bar = new ChoiceBar(find("choices"), this.options, (choice, problem) => this.choose(choice, problem));
    const overview = new Overview(this);
    const workbooks = new Workbooks(this);
    const people = new People(this);
    const teams = new Teams(this);
    const folders = new WorkbookGroups(this, {
      name: "folder",
      noun: "Folder",
      groupsOf: foldersWithWorkbooks,
      nameCell: (name) => named(name),
      empty: "(in no folder)",
    });
    const owners = new WorkbookGroups(this, {
      name: "owner",
      noun: "Owner",
      groupsOf: ownersWithWorkbooks,
      nameCell: (name) => this.details.owner(name),
      empty: "(no owner)",
    });
    this.sections = [
      ["overview", overview],
      ["workbooks", workbooks],
      ["moving", new Moving(this)],
      ["underused", new Underused(this)],
      ["people", people],
      ["groups", teams],
      ["groups", folders],
      ["groups", owners],
    ];
    this.openable = { workbook: workbooks, person: people, team: teams, folder: folders, owner: owners };
    find("licences-csv").addEventListener("click", () => people.saveLicences());
    addEventListener("hashchange", () => this.visit());
    addEventListener("beforeprint", () => this.finish());
  }

  /* Choose for all sections, and keep it in the address. */
  choose(choice, problem = "") {
    if (choice.address() !== this.tally.choice.address()) {
      history.pushState(null, "", choice.address(this.place));
      this.show(choice);
    }
    this.say(problem);
  }

  /* Show what the address says. */
  visit() {
    const { place, choice, missing } = this.options.read(location.hash);
    if (this.tally === null || choice.address() !== this.tally.choice.address()) this.show(choice);
    if (this.opened) {
      const [kind, row] = this.opened;
      this.opened = null;
      this.openable[kind].grid.close(row);
    }
    this.place = place;
    const problem = this.goTo(place);
    this.say(
      [...missing, problem]
        .filter(Boolean)
        .map((text) => `There is ${text} in this report.`)
        .join(" "),
    );
    this.links();
  }

  /* Go to a section, or open something; in words what there is not. */
  goTo(place) {
    if (place === null) return null;
    // Where it stands depends on the sections above it.
    this.finish();
    if (Array.isArray(place)) {
      const [kind, which] = place;
      const row = this.openable[kind].reveal(which);
      if (row === null) return `no ${kind} “${which}”${this.tally.choice.count ? " among what is chosen" : ""}`;
      this.opened = [kind, row];
      return null;
    }
    const section = find(place);
    if (!section?.matches("main, main section")) return `no section “${place}”`;
    section.scrollIntoView({ block: "start" });
    section.focus({ preventScroll: true });
    return null;
  }

  say(text) {
    find("problem").textContent = text;
    find("problem").hidden = text === "";
  }

  /* Count for a choice, and show: first the sections that are seen, then the others. */
  show(choice) {
    performance.mark("choice made");
    document.documentElement.removeAttribute("data-ready");
    this.tally = new Tally(this.data, choice);
    this.bar.show(choice);
    const isSeen = ([id]) => {
      const { top, bottom } = find(id).getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    };
    this.due = this.sections.filter((section) => !isSeen(section));
    for (const section of this.sections) if (!this.due.includes(section)) section[1].show();
    performance.measure("choice shown", "choice made");
    this.links();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.finish());
  }

  /* Show the sections that were not seen when the choice was made. */
  finish() {
    clearTimeout(this.timer);
    for (const [, section] of this.due) section.show();
    this.due = [];
    document.documentElement.setAttribute("data-ready", "");
  }

  /* Links to sections keep what is chosen. */
  links() {
    for (const link of document.querySelectorAll("[data-section]")) link.href = this.address(link.dataset.section);
  }

  address(place) {
    return this.tally.choice.address(place);
  }

  /* How a table keeps in the address what is opened in it. */
  opens(kind, keyOf) {
    return {
      opened: (row) => {
        this.place = [kind, keyOf(row)];
        this.opened = [kind, row];
        history.pushState(null, "", this.address(this.place));
      },
      closed: (row) => {
        if (this.opened?.[0] !== kind || this.opened[1] !== row) return;
        this.place = this.opened = null;
        history.pushState(null, "", this.address(this.place));
      },
    };
  }

  file(name) {
    return `sigma-${name}-${day(this.data.meta.asOf)}${this.tally.choice.count ? "-chosen" : ""}.csv`;
  }
}

function theme() {
  const root = document.documentElement;
  const toggle = find("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => {
    toggle.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  toggle.hidden = false;
  label();
}

theme();
unpack()
  .then((data) => {
    for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
    for (const part of document.querySelectorAll("[data-unscripted]")) part.hidden = true;
    new View(data).visit();
    performance.mark("tables shown");
  })
  .catch((error) => {
    const failure = find("failure");
    failure.textContent = `The tables cannot be shown in this browser: ${error.message}. A newer one can.`;
    failure.hidden = false;
    throw error;
  });
