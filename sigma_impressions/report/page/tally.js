/* What is counted under a choice, in one pass over the facts. */

/* The days of a person or workbook as bits: 0 to 29 in the first number, 30 to 59 in the second. */
const HALF = 30;

function bits(value) {
  let rest = value - ((value >>> 1) & 0x55555555);
  rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333);
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/* The bits of the days from one place to another, as the two numbers. */
function span(first, last) {
  const halves = [0, 0];
  for (let place = Math.max(0, first); place <= last; place += 1) halves[place < HALF ? 0 : 1] |= 1 << (place % HALF);
  return halves;
}

class DaySets {
  constructor(size) {
    this.low = new Uint32Array(size);
    this.high = new Uint32Array(size);
  }

  countIn(place, [low, high]) {
    return bits(this.low[place] & low) + bits(this.high[place] & high);
  }

  isIn(place, [low, high]) {
    return (this.low[place] & low) !== 0 || (this.high[place] & high) !== 0;
  }

  /* How many have a day of each stretch that `spans` holds. */
  within(spans, isCounted) {
    const counts = new Array(spans.length).fill(0);
    for (let place = 0; place < this.low.length; place += 1) {
      if ((this.low[place] === 0 && this.high[place] === 0) || !isCounted(place)) continue;
      for (let span = 0; span < spans.length; span += 1) if (this.isIn(place, spans[span])) counts[span] += 1;
    }
    return counts;
  }
}

class Tally {
  constructor(data, choice) {
    const { facts, workbookCount, peopleCount, complete } = data;
    const { pair, person, fact, day: days, impressions } = facts;
    this.data = data;
    this.choice = choice;
    this.period = choice.period;
    this.firstOfPeriod = DAYS - choice.period;
    this.inPeriod = span(this.firstOfPeriod, DAYS - 1);
    this.hasWorkbook = choice.workbooks(data);
    this.hasPerson = choice.people(data);
    this.hasAllPeople = this.hasPerson === null;

    const perWorkbook = () => new Float64Array(workbookCount);
    /* By workbook, its elements included. */
    this.workbook = {
      impressions: perWorkbook(),
      users: new Uint32Array(workbookCount),
      now: perWorkbook(),
      before: perWorkbook(),
      all: perWorkbook(),
      days: new DaySets(workbookCount),
    };
    /* By person; the last two are nobody and those who were cut. */
    this.person = {
      impressions: new Float64Array(peopleCount + 2),
      now: new Float64Array(peopleCount + 2),
      before: new Float64Array(peopleCount + 2),
      workbooks: new Uint32Array(peopleCount + 2),
      days: new DaySets(peopleCount + 2),
    };
    this.day = new Float64Array(DAYS);
    const [nowFirst, nowLast] = complete.now ?? [DAYS, -1];
    const [beforeFirst, beforeLast] = complete.before ?? [DAYS, -1];
    const { firstOfPeriod } = this;
    for (let workbook = 0; workbook < workbookCount; workbook += 1) {
      if (!this.hasWorkbook[workbook]) continue;
      let [users, viewed, all, now, before, low, high] = [0, 0, 0, 0, 0, 0, 0];
      for (let k = pair[workbook]; k < pair[workbook + 1]; k += 1) {
        const who = person[k];
        if (this.hasPerson !== null && !this.hasPerson[who]) continue;
        let [lowOfPair, highOfPair, viewedByPair, nowByPair, beforeByPair] = [0, 0, 0, 0, 0];
        for (let place = fact[k]; place < fact[k + 1]; place += 1) {
          const [at, count] = [days[place], impressions[place]];
          this.day[at] += count;
          all += count;
          if (at < HALF) lowOfPair |= 1 << at;
          else highOfPair |= 1 << (at - HALF);
          if (at >= firstOfPeriod) viewedByPair += count;
          if (at >= nowFirst && at <= nowLast) nowByPair += count;
          else if (at >= beforeFirst && at <= beforeLast) beforeByPair += count;
        }
        if (viewedByPair > 0) {
          if (who < peopleCount) users += 1;
          this.person.workbooks[who] += 1;
        }
        this.person.impressions[who] += viewedByPair;
        this.person.now[who] += nowByPair;
        this.person.before[who] += beforeByPair;
        this.person.days.low[who] |= lowOfPair;
        this.person.days.high[who] |= highOfPair;
        viewed += viewedByPair;
        now += nowByPair;
        before += beforeByPair;
        low |= lowOfPair;
        high |= highOfPair;
      }
      const found = this.workbook;
      found.users[workbook] = users;
      found.impressions[workbook] = viewed;
      found.all[workbook] = all;
      found.now[workbook] = now;
      found.before[workbook] = before;
      found.days.low[workbook] = low;
      found.days.high[workbook] = high;
    }
    if (!choice.isOfWorkbooks) this.addOthers(data);
  }

  /* What people viewed besides, of pairs that were cut: of which workbooks is not known. */
  addOthers({ facts: { pair, person, fact, day: days, impressions }, workbookCount, complete }) {
    const isIn = (at, stretch) => stretch !== null && at >= stretch[0] && at <= stretch[1];
    for (let k = pair[workbookCount]; k < pair[workbookCount + 1]; k += 1) {
      const who = person[k];
      if (this.hasPerson !== null && !this.hasPerson[who]) continue;
      for (let place = fact[k]; place < fact[k + 1]; place += 1) {
        const [at, count] = [days[place], impressions[place]];
        /* Of everybody it is counted with the workbooks. */
        if (this.hasPerson !== null) this.day[at] += count;
        if (at >= this.firstOfPeriod) this.person.impressions[who] += count;
        if (isIn(at, complete.now)) this.person.now[who] += count;
        else if (isIn(at, complete.before)) this.person.before[who] += count;
        if (at < HALF) this.person.days.low[who] |= 1 << at;
        else this.person.days.high[who] |= 1 << (at - HALF);
      }
    }
  }

  /* Whether a person, none of nobody and those who were cut, is among those chosen. */
  isChosen(person) {
    return this.hasPerson === null ? person < this.data.peopleCount : this.hasPerson[person] === 1;
  }

  /* Impressions of the days from one place to another. */
  impressionsIn([first, last]) {
    let sum = 0;
    for (let place = first; place <= last; place += 1) sum += this.day[place];
    return sum;
  }

  /* Distinct people in each of some stretches of days, given as [first, last]. */
  usersIn(stretches) {
    const known = (person) => person < this.data.peopleCount;
    return this.person.days.within(
      stretches.map(([first, last]) => span(first, last)),
      known,
    );
  }

  /* Distinct workbooks, without data models. */
  workbooksIn(stretches) {
    const known = (workbook) => !this.data.isModel[workbook];
    return this.workbook.days.within(
      stretches.map(([first, last]) => span(first, last)),
      known,
    );
  }

  /* Impressions of a pair in the period, on how many days of it, and the last of its days. */
  ofPair(pair) {
    const { fact, day: days, impressions } = this.data.facts;
    const found = { impressions: 0, days: 0, last: null };
    for (let place = fact[pair]; place < fact[pair + 1]; place += 1) {
      if (days[place] < this.firstOfPeriod) continue;
      found.impressions += impressions[place];
      found.days += 1;
      found.last = Math.max(found.last ?? 0, days[place]);
    }
    return found;
  }

  /* Whether a pair has a view in the period: its days are in order. */
  isViewed(pair) {
    const { fact, day: days } = this.data.facts;
    return days[fact[pair + 1] - 1] >= this.firstOfPeriod;
  }

  activeDays(person) {
    return this.person.days.countIn(person, this.inPeriod);
  }

  /* The pairs of a workbook whose people are chosen. */
  pairsOf(workbook) {
    if (this.hasPerson === null) return this.data.pairsOf(workbook);
    return this.data.pairsOf(workbook).filter((pair) => this.hasPerson[this.data.facts.person[pair]]);
  }

  /* How a workbook goes: 14 complete days against the 14 before. */
  trendOf(workbook) {
    return this.compared(this.workbook.now[workbook], this.workbook.before[workbook]);
  }

  compared(now, before) {
    const { complete, meta } = this.data;
    if (complete.before === null) return { now: complete.now && now, before: null, share: null, movement: null };
    const share = before > 0 ? now / before - 1 : null;
    const moved = now - before;
    const least = Math.max(meta.movedShare * before, meta.movedImpressions);
    const movement =
      now === 0 && before === 0
        ? "none"
        : before === 0
          ? "new"
          : now === 0
            ? "gone"
            : moved >= least
              ? "riser"
              : -moved >= least
                ? "faller"
                : "steady";
    return { now, before, share, movement };
  }
}
