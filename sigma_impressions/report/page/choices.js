/* What is chosen, for all sections at once: kept in the address, so that a link shows the same again. */

const PERIODS = [14, 30, 60];
const USUAL_PERIOD = 30;
/* What can be opened by an address, besides the sections. */
const PLACES = ["workbook", "person", "team", "folder", "owner"];
/* Addresses are kept in lower case. */
const IN_LOWER_CASE = ["person", "owner"];
const CHOSEN = ["folder", "owner", "team", "type"];

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Choice {
  constructor({ period = USUAL_PERIOD, folder = null, owner = null, team = null, type = null } = {}) {
    Object.assign(this, { period, folder, owner, team, type });
  }

  with(changes) {
    return new Choice({ ...this, ...changes });
  }

  get count() {
    return CHOSEN.filter((name) => this[name] !== null).length + (this.period === USUAL_PERIOD ? 0 : 1);
  }

  get isOfPeople() {
    return this.team !== null || this.type !== null;
  }

  get isOfWorkbooks() {
    return this.folder !== null || this.owner !== null;
  }

  /* Which workbooks are chosen, by their number. */
  workbooks(data) {
    const inside = this.folder === null ? null : `${this.folder}/`;
    return Uint8Array.from(
      { length: data.workbookCount },
      (_, row) =>
        (inside === null || `${data.folder[row].join("/")}/`.startsWith(inside)) &&
        (this.owner === null || data.owner[row] === this.owner),
    );
  }

  /* Which people are chosen, by their number; null if all are, and nobody in particular too. Of a team and of an account
     type are those who may use Sigma, as in the tables of teams and licences. */
  people(data) {
    if (!this.isOfPeople) return null;
    const team = this.team === null ? null : data.teams.indexOf(this.team);
    const type = data.text(data.people.type);
    const found = new Uint8Array(data.peopleCount + 2);
    for (let row = 0; row < data.peopleCount; row += 1) {
      found[row] =
        data.people.licensed[row] === 1 &&
        (team === null || (data.people.teams[row] ?? []).includes(team)) &&
        (this.type === null || type(row) === this.type);
    }
    return found;
  }

  /* As it stands in the address, behind the place, which may be empty. */
  address(place = null) {
    const parts = [Array.isArray(place) ? place.map(encodeURIComponent).join("=") : (place ?? "")];
    if (this.period !== USUAL_PERIOD) parts.push(`period=${this.period}`);
    for (const name of CHOSEN) if (this[name] !== null) parts.push(`${name}=${encodeURIComponent(this[name])}`);
    return `#${parts.join("&")}`;
  }

  /* In words, of what is counted: `in Sales/EMEA, by Finance`. */
  get words() {
    return [
      this.folder !== null && `in ${this.folder}`,
      this.owner !== null && `owned by ${this.owner}`,
      this.team !== null && `by the team ${this.team}`,
      this.type !== null && `by accounts of the type ${this.type}`,
    ]
      .filter(Boolean)
      .join(", ");
  }
}

/* What can be chosen, as texts in order. */
class Options {
  constructor(data) {
    const sorted = (texts) => [...new Set(texts)].filter((text) => text !== null).sort(COLLATOR.compare);
    const type = data.text(data.people.type);
    this.folder = sorted(data.folder.flatMap((names) => names.map((_, place) => names.slice(0, place + 1).join("/"))));
    this.owner = sorted(data.owner);
    this.team = data.meta.hasTeams ? data.teams : [];
    this.type = data.meta.hasMembers ? sorted(range(data.peopleCount).map(type)) : [];
  }

  /* The place and the choice that an address names, and in words what it names and is not there. The place is a
     section, or something that is opened, as [kind, which]. */
  read(address) {
    const missing = [];
    const changes = {};
    let place = null;
    address
      .replace(/^#/, "")
      .split("&")
      .forEach((part, position) => {
        if (part === "") return;
        const [name, ...rest] = part.split("=");
        const value = decoded(rest.join("="));
        if (position === 0 && !rest.length) place = decoded(name);
        else if (position === 0 && PLACES.includes(name))
          place = [name, IN_LOWER_CASE.includes(name) ? value.toLowerCase() : value];
        else if (name === "period") {
          if (PERIODS.includes(Number(value))) changes.period = Number(value);
          else missing.push(`no period of ${value} days`);
        } else if (CHOSEN.includes(name)) {
          const known = IN_LOWER_CASE.includes(name) ? value.toLowerCase() : value;
          if (this[name].includes(known)) changes[name] = known;
          else missing.push(`no ${name === "type" ? "account type" : name} “${value}”`);
        } else missing.push(`nothing to choose by “${decoded(name)}”`);
      });
    return { place, choice: new Choice(changes), missing };
  }
}

/* The bar above the sections, in which everything is chosen. */
class ChoiceBar {
  constructor(host, options, choose) {
    this.host = host;
    this.options = options;
    this.choose = choose;
    this.choice = new Choice();
    this.fields = {};
    this.summary = make("span");
    this.toggle = make(
      "button",
      { type: "button", class: "toggle", "aria-expanded": "false", "aria-controls": "fields" },
      this.summary,
    );
    this.toggle.addEventListener("click", () => {
      this.toggle.setAttribute("aria-expanded", String(host.classList.toggle("open")));
    });
    this.clear = button("Clear choices", () => this.choose(new Choice()), { class: "clear" });
    host.replaceChildren(
      this.toggle,
      make(
        "div",
        { class: "fields", id: "fields" },
        this.periods(),
        this.written("folder", "Folder", "All folders"),
        this.written("owner", "Owner", "All owners"),
        options.team.length ? this.listed("team", "Team", "All teams") : null,
        options.type.length ? this.listed("type", "Account type", "All types") : null,
        this.clear,
      ),
    );
  }

  periods() {
    const radios = PERIODS.map((period) => {
      const radio = make("input", { type: "radio", name: "period", value: period, class: "sr" });
      radio.addEventListener("change", () => this.choose(this.choice.with({ period })));
      return [period, radio];
    });
    this.fields.period = Object.fromEntries(radios);
    return make(
      "fieldset",
      { class: "periods" },
      make("legend", {}, "Period"),
      make("div", {}, ...radios.map(([period, radio]) => make("label", {}, radio, make("span", {}, `${period} days`)))),
    );
  }

  /* One of a list that may be long: written, with proposals. */
  written(name, label, all) {
    const list = make(
      "datalist",
      { id: `${name}-options` },
      ...this.options[name].map((value) => make("option", { value })),
    );
    const field = make("input", {
      type: "text",
      list: list.id,
      placeholder: all,
      autocomplete: "off",
      spellcheck: "false",
    });
    field.addEventListener("change", () => {
      const wanted = field.value.trim().replace(/^\/+|\/+$/g, "");
      const found =
        this.options[name].find((value) => value === wanted) ??
        this.options[name].find((value) => folded(value) === folded(wanted));
      const isKnown = wanted === "" || found !== undefined;
      field.setAttribute("aria-invalid", String(!isKnown));
      if (isKnown) this.choose(this.choice.with({ [name]: found ?? null }));
      else this.choose(this.choice, `There is no ${name} “${wanted}” in this report.`);
    });
    this.fields[name] = field;
    return make("label", { class: "grow" }, label, field, list);
  }

  listed(name, label, all) {
    const field = make(
      "select",
      {},
      make("option", { value: "" }, all),
      ...this.options[name].map((value, place) => make("option", { value: place + 1 }, value)),
    );
    field.addEventListener("change", () => {
      const place = Number(field.value) - 1;
      this.choose(this.choice.with({ [name]: place < 0 ? null : this.options[name][place] }));
    });
    this.fields[name] = field;
    return make("label", {}, label, field);
  }

  show(choice) {
    this.choice = choice;
    this.fields.period[choice.period].checked = true;
    for (const name of ["folder", "owner"]) {
      this.fields[name].value = choice[name] ?? "";
      this.fields[name].removeAttribute("aria-invalid");
      this.fields[name].classList.toggle("chosen", choice[name] !== null);
    }
    for (const name of ["team", "type"]) {
      if (!this.fields[name]) continue;
      this.fields[name].value = choice[name] === null ? "" : String(this.options[name].indexOf(choice[name]) + 1);
      this.fields[name].classList.toggle("chosen", choice[name] !== null);
    }
    const others = choice.count - (choice.period === USUAL_PERIOD ? 0 : 1);
    this.summary.textContent = `Choose (${choice.period} days${others ? `, ${others} more` : ""})`;
    this.clear.disabled = choice.count === 0;
  }
}
