/* What the page holds: tables as columns, each text once, and the facts, which are impressions by workbook, person and
   day. All that depends on a choice is counted from the facts. */

const DAYS = 60;
const COMPARED_DAYS = 14;

async function inflated(id) {
  const bytes = Uint8Array.from(atob(find(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

async function unpack() {
  const [tables, facts] = await Promise.all([
    inflated("packed").then((response) => response.json()),
    inflated("facts").then((response) => response.arrayBuffer()),
  ]);
  return new Data(tables, new Uint8Array(facts));
}

/* Numbers of several bytes, of which all the lowest bytes come first, then all the second ones, and so on. */
function numbersOf(bytes, start, length, planes) {
  const numbers = new Uint32Array(length);
  for (let plane = 0; plane < planes; plane += 1) {
    const [first, shift] = [start + plane * length, 8 * plane];
    for (let place = 0; place < length; place += 1) numbers[place] |= bytes[first + place] << shift;
  }
  return numbers;
}

/* Where the part of each begins in a column that holds one part behind the other; the last is where all end. */
function starts(lengths) {
  const found = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, place) => {
    found[place + 1] = found[place] + length;
  });
  return found;
}

/* The facts: of pair k of a workbook and a person, `person[k]`, and the facts from `fact[k]` to before `fact[k + 1]`,
   each with its `day` (0 to 59) and its `impressions`. The pairs of workbook w are from `pair[w]` to before
   `pair[w + 1]`. Behind the last workbook stands what people viewed besides, of pairs that were cut. */
class Facts {
  constructor(bytes, pairs, facts, lengths) {
    this.pair = starts([...lengths, pairs - total(lengths)]);
    const people = numbersOf(bytes, 0, pairs, 3);
    for (let workbook = 0; workbook <= lengths.length; workbook += 1) {
      for (let k = this.pair[workbook] + 1; k < this.pair[workbook + 1]; k += 1) people[k] += people[k - 1];
    }
    this.person = people;
    this.fact = starts(bytes.subarray(3 * pairs, 4 * pairs));
    this.day = bytes.subarray(4 * pairs, 4 * pairs + facts);
    this.impressions = numbersOf(bytes, 4 * pairs + facts, facts, 4);
  }
}

class Data {
  constructor(tables, bytes) {
    const { meta, workbooks, people, texts, links } = tables;
    Object.assign(this, tables);
    this.facts = new Facts(bytes, meta.pairs, meta.facts, workbooks.pairs);
    this.firstElement = starts(workbooks.elements);
    this.firstPage = starts(workbooks.pages);
    this.folded = null;
    this.workbookCount = workbooks.id.length;
    this.peopleCount = people.user.length;
    /* Numbers of nobody in particular: who is not known, and those who were cut. */
    this.nobody = this.peopleCount;
    this.cutPeople = this.peopleCount + 1;
    this.text = (column) => (row) => (column[row] === null ? null : texts[column[row]]);
    this.link = (column) => (row) => (column[row] === null ? null : links[column[row]]);
    this.teams = meta.teams.map((team) => texts[team]);
    this.complete = completeDays(meta);
    /* The days that a line may be drawn through. */
    this.isKnown = meta.days.captured.map((isCaptured, place) => isCaptured && meta.days.complete[place]);
    const [state, kind] = [this.text(workbooks.state), this.text(workbooks.kind)];
    this.isPresent = range(this.workbookCount).map((row) => state(row) === "present");
    this.isModel = range(this.workbookCount).map((row) => kind(row) === "data_model");
    const [path, owner] = [this.text(workbooks.path), this.text(workbooks.owner)];
    this.folder = range(this.workbookCount).map((row) => foldersOf(path(row)));
    this.owner = range(this.workbookCount).map(owner);
  }

  nameOf(workbook) {
    return this.text(this.workbooks.name)(workbook) ?? this.text(this.workbooks.id)(workbook);
  }

  /* The people in the table: by their name where it is known. */
  userOf(person) {
    return this.text(this.people.user)(person);
  }

  /* For each text, whether it holds a word. Folded when first searched. */
  holding(word) {
    this.folded ??= this.texts.map(folded);
    return this.folded.map((text) => text.includes(word));
  }

  /* Which rows hold a word in one of the columns. */
  matcher(...columns) {
    return (word) => {
      const hits = this.holding(word);
      return (row) => columns.some((column) => hits[column[row]]);
    };
  }

  /* Impressions of each of the days that `pairs` (numbers of pairs) have. */
  daysOf(pairs) {
    const { fact, day: days, impressions } = this.facts;
    const found = new Array(DAYS).fill(0);
    for (const pair of pairs) {
      for (let place = fact[pair]; place < fact[pair + 1]; place += 1) found[days[place]] += impressions[place];
    }
    return found;
  }

  pairsOf(workbook) {
    const { pair } = this.facts;
    return range(pair[workbook + 1] - pair[workbook], pair[workbook]);
  }

  /* The pairs of a person, as [workbook, pair]. */
  pairsOfPerson(person) {
    const { pair, person: people } = this.facts;
    const found = [];
    for (let workbook = 0; workbook < this.workbookCount; workbook += 1) {
      for (let k = pair[workbook]; k < pair[workbook + 1]; k += 1) if (people[k] === person) found.push([workbook, k]);
    }
    return found;
  }
}

/* The names of the folders of a path, the outermost first. */
const foldersOf = (path) => (path ?? "").split("/").filter(Boolean);

/* The complete days that are compared, as places among the 60: 14 up to the last complete one, and the 14 before, each
   as [first, last]; null where not all of them were captured. */
function completeDays({ firstDay, lastComplete, days, previousKnown }) {
  if (lastComplete === null) return { now: null, before: null };
  const last = lastComplete - firstDay;
  const first = last - COMPARED_DAYS + 1;
  if (range(COMPARED_DAYS, first).some((place) => !days.captured[place])) return { now: null, before: null };
  return { now: [first, last], before: previousKnown ? [first - COMPARED_DAYS, first - 1] : null };
}
