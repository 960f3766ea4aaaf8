/* The charts, as inline SVG. Colours are left to the style sheet, so that one drawing fits light, dark and paper. */

const WIDTHS = [
  ["wide-only", 1080, 230],
  ["narrow-only", 360, 230],
];
const HALF_WIDTHS = [
  ["wide-only", 700, 262],
  ["narrow-only", 360, 230],
];
const PLANE = { left: 46, right: 8, above: 10, below: 26 };

/* Round numbers from 0 to at least `most`, about four steps apart: multiples of 1, 2, 2.5 or 5 and a power of ten. */
function ticks(most) {
  const rough = Math.max(most, 1) / 4;
  const power = rough >= 1 ? 10 ** Math.floor(Math.log10(rough)) : 1;
  const step = [1, 2, 2.5, 5, 10].map((factor) => power * factor).find((size) => size >= rough && size % 1 === 0);
  return range(Math.ceil(Math.max(most, 1) / step) + 1).map((place) => place * step);
}

/* 1,500 is `1.5k`, 2,000,000 is `2M`. */
function shortNumber(value) {
  if (value >= 1e9) return `${value / 1e9}G`;
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1000 ? `${value / 1000}k` : String(value);
}

/* A drawing area with the marks of the vertical axis. */
class Plane {
  constructor(width, height, marks, write) {
    Object.assign(this, { width, height, most: marks.at(-1), bottom: height - PLANE.below });
    this.marks = marks.map((mark) => {
      const y = this.y(mark);
      return drawn(
        "g",
        {},
        drawn("line", { x1: PLANE.left, x2: width - PLANE.right, y1: y, y2: y }),
        drawn("text", { x: PLANE.left - 6, y: y + 4, "text-anchor": "end" }, write(mark)),
      );
    });
  }

  x(share) {
    return Math.round((PLANE.left + share * (this.width - PLANE.left - PLANE.right)) * 10) / 10;
  }

  y(value) {
    return Math.round((this.bottom - (value / this.most) * (this.bottom - PLANE.above)) * 10) / 10;
  }

  /* Lines through points, [x, y] each or null where there is a gap. */
  path(points) {
    let isPen = false;
    return points
      .map((point) => {
        const step = point === null ? "" : `${isPen ? "L" : "M"}${point[0]},${point[1]}`;
        isPen = point !== null;
        return step;
      })
      .join("");
  }

  label(x, text, anchor = "middle") {
    return drawn("text", { x, y: this.height - 7, "text-anchor": anchor }, text);
  }

  drawing(classes, label, across, ...content) {
    return drawn(
      "svg",
      { class: classes, viewBox: `0 0 ${this.width} ${this.height}`, role: "img", "aria-label": label },
      drawn("g", { class: "axis" }, ...this.marks, ...across),
      ...content,
    );
  }
}

/* A chart of the 60 days: `bars` are values, `lines` are values by name; null is what is not known. `days` says of each
   day whether it was captured and is complete. */
function daysChart({ firstDay, days, label, bars = null, lines = {}, widths }) {
  const most = Math.max(
    0,
    ...(bars ?? []),
    ...Object.values(lines)
      .flat()
      .map((value) => value ?? 0),
  );
  return widths.map(([classes, width, height]) => {
    const plane = new Plane(width, height, ticks(most), shortNumber);
    const [wide, full] = [plane.x(1 / DAYS) - plane.x(0), plane.bottom - PLANE.above];
    const band = (place, attributes) =>
      drawn("rect", { x: plane.x(place / DAYS), y: PLANE.above, width: wide, height: full, ...attributes });
    const places = range(DAYS);
    const weekend = (place) => weekday(firstDay + place) > 4;
    const mondays = places.filter((place) => weekday(firstDay + place) === 0);
    const every = Math.max(1, Math.ceil((mondays.length * 62) / width));
    const marks = mondays
      .filter((_, place) => place % every === 0)
      .map((place) => plane.label(plane.x((place + 0.5) / DAYS), shortDay(firstDay + place)));
    const bar = (place) => {
      const value = bars[place];
      if (value === null) return null;
      const kind = `${weekend(place) ? "weekend" : ""} ${days.complete[place] ? "" : "incomplete"}`.trim();
      return drawn("rect", {
        class: kind || null,
        rx: 1.5,
        x: plane.x(place / DAYS) + wide * 0.12,
        y: plane.y(value),
        width: wide * 0.76,
        height: plane.bottom - plane.y(value),
      });
    };
    const curve = ([name, values]) =>
      drawn("path", {
        class: `line ${name}`,
        d: plane.path(
          values.map((value, place) => (value === null ? null : [plane.x((place + 0.5) / DAYS), plane.y(value)])),
        ),
      });
    return plane.drawing(
      classes,
      label,
      marks,
      drawn("g", { class: "weekends" }, ...places.filter(weekend).map((place) => band(place))),
      drawn("g", { class: "missing" }, ...places.filter((place) => !days.captured[place]).map((place) => band(place))),
      bars && drawn("g", { class: "bars" }, ...places.map(bar)),
      ...Object.entries(lines).map(curve),
      drawn("g", { class: "days" }, ...places.map((place) => band(place, { "data-day": place }))),
    );
  });
}

/* The share of impressions (up) that the most active share of users (across) makes: `shares` add up from the first. */
function concentrationChart(shares) {
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  const plane = new Plane(360, 190, quarters, (share) => percent(share));
  const every = Math.max(1, Math.ceil(shares.length / 100));
  const places = range(shares.length).filter((place) => place % every === 0 || place === shares.length - 1);
  const points = places.map((place) => [plane.x(place / Math.max(shares.length - 1, 1)), plane.y(shares[place])]);
  return plane.drawing(
    "square",
    "Share of impressions that the most active share of users makes.",
    quarters.map((share) => plane.label(plane.x(share), percent(share))),
    drawn("path", { class: "line share", d: plane.path(points) }),
    drawn("path", {
      class: "line even",
      d: plane.path([
        [plane.x(0), plane.y(0)],
        [plane.x(1), plane.y(1)],
      ]),
    }),
  );
}

/* A bar that is `outer` of the width long, `inner` of it filled. */
function shareBar(outer, inner, classes) {
  const bar = (name, share) =>
    drawn("rect", { class: name, width: `${Math.round(share * 1000) / 10}%`, height: 8, rx: 4 });
  return drawn(
    "svg",
    { class: `share ${classes}`, "aria-hidden": "true", width: "100%", height: 8 },
    bar("of", outer),
    bar("part", outer * inner),
  );
}

/* A small line of days; `label` says what it is of. Days that were not captured are gaps. */
function sparkline(values, isKnown, what = "Impressions per day") {
  const most = Math.max(1, ...values);
  const step = 120 / Math.max(1, values.length - 1);
  const svg = drawn("svg", {
    class: "spark",
    viewBox: "0 0 120 30",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${what}, at most ${number(Math.max(0, ...values))}`,
  });
  const runs = [];
  values.forEach((value, place) => {
    if (!isKnown[place]) return;
    if (!place || !isKnown[place - 1]) runs.push([]);
    runs.at(-1).push([(place * step).toFixed(1), (29 - (value / most) * 27).toFixed(1)]);
  });
  for (const run of runs) {
    const points = run.map((point) => point.join(",")).join(" ");
    svg.append(
      drawn("path", { class: "area", d: `M${run[0][0]},30 L${points} ${run.at(-1)[0]},30Z` }),
      drawn("path", { d: `M${points}` }),
    );
  }
  return svg;
}
