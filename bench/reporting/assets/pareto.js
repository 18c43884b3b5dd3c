"use strict";

// The Pareto plot of any two figures, for the methods that are shown.

const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"];
const [BLUE, GREY, GREEN] = ["#0072B2", "#868c95", "#009E73"];
const FEW = 8; // of more variants than this, only those on the front are named
const LOG = 8; // an axis is logarithmic where the highest is so many times the lowest
const BLEND = [[0, "#0072B2"], [0.5, "#CC79A7"], [1, "#E69F00"]];

// Plotly knows a little HTML, mathematics and templates: any text is shown as it is.
function safe(text) {
  return text.replace(/[&<>$]|%(?=\{)/g, letter => `&#${letter.charCodeAt()};`);
}

function wrapped(text, width = 28) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (lines[last] && lines[last].length + word.length >= width) lines.push(word);
    else lines[last] += (lines[last] && " ") + word;
  }
  return lines;
}

function better(figure, one, other) {
  return figure.more ? one.values[figure.name] > other.values[figure.name] : one.values[figure.name] < other.values[figure.name];
}

// A variant is beaten by one that is no worse in both figures and better in one; equal ones don't beat each other.
function frontOf(variants, x, y) {
  const beats = (one, other) => !better(x, other, one) && !better(y, other, one) && (better(x, one, other) || better(y, one, other));
  return variants.filter(each => !variants.some(other => beats(other, each)));
}

function titleOf(figure) {
  return figure.title + (figure.unit && ` (${figure.unit})`);
}

// An axis runs so that better is left, or up: backwards where the figure's own direction is the other.
function axisOf(figure, variants, log, betterIsHigh, also = []) {
  const scale = value => value / figure.size;
  const values = [...also, ...variants.flatMap(each => [each.values[figure.name], ...(each.reach[figure.name] || [])])].map(scale);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = betterIsHigh ? 0.1 : 0.18;
  if (log) {
    const factor = (high / low) ** room || 1.5;
    [low, high] = [low / Math.max(factor, 1.1), high * Math.max(factor, 1.1)];
  } else {
    const more = room * (high - low) || 0.1 * Math.abs(high) || 1;
    [low, high] = [figure.signed ? low - more : Math.max(0, low - more), high + more];
    if (figure.unit === "%") high = Math.min(high, Math.max(100, ...values));
  }
  const backwards = figure.more !== betterIsHigh;
  const ends = (log ? [low, high].map(Math.log10) : [low, high]);
  const ticks = log ? { tickvals: ticksOf(low, high) } : { tickformat: ",~r", nticks: 6 };
  if (log) ticks.ticktext = ticks.tickvals.map(tick => tick.toLocaleString("en", { maximumFractionDigits: 10 }));
  return {
    scale, backwards, at: value => (log ? Math.log10(scale(value)) : scale(value)),
    axis: { type: log ? "log" : "linear", range: backwards ? ends.reverse() : ends, ...ticks },
  };
}

// 1, 2, 5, or over several powers of ten 1, 3, or these alone.
function ticksOf(low, high) {
  const digits = high < 30 * low ? [1, 2, 5] : high < 3000 * low ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    ticks.push(...digits.map(digit => Number(`${digit}e${power}`)).filter(tick => low <= tick && tick <= high));
  }
  return ticks;
}

const SIDES = {
  "middle right": [1, 0], "middle left": [-1, 0], "top center": [0, 1], "bottom center": [0, -1],
  "top right": [1, 1], "bottom right": [1, -1], "top left": [-1, 1], "bottom left": [-1, -1],
};

// Where each name covers least: its side of the point, or none where there is no room. `points` are in pixels.
function sidesOf(names, points, width, height) {
  const taken = points.map(([x, y]) => [x - 8, y - 8, x + 8, y + 8]);
  const overlap = (one, other) =>
    Math.max(0, Math.min(one[2], other[2]) - Math.max(one[0], other[0])) *
    Math.max(0, Math.min(one[3], other[3]) - Math.max(one[1], other[1]));
  return names.map((lines, place) => {
    if (!lines) return null;
    const [wide, high] = [6.2 * Math.max(...lines.map(line => line.length)), 14 * lines.length];
    const [x, y] = points[place];
    const tried = Object.entries(SIDES).map(([side, [across, up]]) => {
      const left = x + (across > 0 ? 8 : across < 0 ? -8 - wide : -wide / 2);
      const bottom = y + (up > 0 ? 8 : up < 0 ? -8 - high : -high / 2);
      const box = [left, bottom, left + wide, bottom + high];
      const outside = wide * high - overlap(box, [0, 0, width, height]);
      const covered = taken.reduce((sum, other, at) => sum + (at === place ? 0 : overlap(box, other)), 0);
      return { side, box, cost: covered + outside };
    });
    const best = tried.reduce((one, other) => (other.cost < one.cost ? other : one));
    if (best.cost > 60) return null;
    taken.push(best.box);
    return best.side;
  });
}

// What colours the points, when it isn't the front: a value of each variant, in its legend or on a scale.
function paletteOf(data, variants) {
  const name = chosen.get("colour");
  const facet = data.facets.find(each => each.name === name);
  if (!facet && !data.hyperparameters.includes(name)) return null;
  const value = each => (facet ? each.facets[name].join(", ") : each.hyperparameters[name]);
  const title = facet ? facet.title : name;
  const values = [...new Set(variants.map(value))].filter(each => each !== undefined && each !== "");
  const numbers = values.every(each => typeof each === "number");
  values.sort(numbers ? (a, b) => a - b : (a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
  if (numbers && values.length > COLOURS.length) return scaleOf(title, values, variants, value);
  const rank = each => values.indexOf(value(each));
  const colourAt = place => (place < 0 ? GREY : COLOURS[place % COLOURS.length]);
  const symbolAt = place => (place < 0 ? "circle" : SYMBOLS[(place + Math.floor(place / COLOURS.length)) % SYMBOLS.length]);
  const entries = values.map((each, place) => ({ name: facet ? `${each}` : `${name}=${each}`, color: colourAt(place), symbol: symbolAt(place) }));
  if (variants.some(each => rank(each) < 0)) entries.push({ name: `no ${title}`, color: GREY, symbol: "circle" });
  return { title, entries, colour: each => colourAt(rank(each)), symbol: each => symbolAt(rank(each)) };
}

// A scale of colours; on a logarithmic one, what isn't above 0 is grey.
function scaleOf(title, values, variants, value) {
  const above = values.filter(each => each > 0);
  const log = above.length > 1 && values[0] >= 0 && above[above.length - 1] > LOG * above[0];
  const [low, high] = log ? [above[0], above[above.length - 1]] : [values[0], values[values.length - 1]];
  const at = log ? Math.log10 : Number;
  const out = each => value(each) === undefined || (log && value(each) <= 0);
  const ticks = log ? ticksOf(low, high) : null;
  return {
    title,
    entries: variants.some(out) ? [{ name: `no ${title}`, color: GREY, symbol: "circle" }] : [],
    colour: each => (out(each) ? GREY : blended((at(value(each)) - at(low)) / (at(high) - at(low)))),
    symbol: () => "circle",
    scale: {
      cmin: at(low), cmax: at(high), colorscale: BLEND, showscale: true,
      colorbar: {
        orientation: "h", yref: "container", y: 1, yanchor: "top", x: 0, xanchor: "left", len: 1, thickness: 10,
        title: { text: safe(title), side: "top" }, ...(ticks && { tickvals: ticks.map(at), ticktext: ticks.map(String) }),
      },
    },
  };
}

function blended(share) {
  const after = BLEND.findIndex(([at]) => at >= share);
  const [[low, from], [high, to]] = [BLEND[Math.max(0, after - 1)], BLEND[Math.max(1, after)]];
  const mix = (share - low) / (high - low);
  const parts = [from, to].map(hex => [1, 3, 5].map(place => parseInt(hex.slice(place, place + 2), 16)));
  return `rgb(${parts[0].map((each, place) => Math.round(each + mix * (parts[1][place] - each))).join()})`;
}

function axesOf(data) {
  const named = name => data.figures.find(each => each.name === name);
  const y = named(chosen.get("y")) || named("accuracy") || data.figures[0];
  const x = named(chosen.get("x"));
  return { y, xs: x ? [x] : data.costs.map(named).filter(each => each && each !== y), one: Boolean(x) };
}

// Whether a figure can be on a logarithmic axis, and whether it is.
function logOf(data, figure, way) {
  const values = data.variants.filter(each => each.front && figure.name in each.values).map(each => each.values[figure.name]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const can = low > 0;
  const asked = chosen.get(`${way}-scale`);
  return { can, is: can && (asked === "log" || (asked !== "linear" && high > LOG * low)) };
}

function paretoOf(data, width) {
  const { y, xs, one } = axesOf(data);
  const layout = {
    margin: { l: 64, r: 24, t: 32, b: 56 }, hovermode: "closest", showlegend: true, shapes: [], annotations: [],
    legend: { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" },
    meta: { height: one ? 420 : 280, columns: one ? 1 : 2, rows: [] },
  };
  const traces = [];
  const told = [];
  const shown = data.variants.filter(each => each.front && isShown(each.name));
  const palette = paletteOf(data, shown);
  const sure = y.name === "accuracy" && !filtering(); // the shares are of the fronts of accuracy, and of all methods
  const { pixels } = columnsOf(layout, width, xs.length);
  xs.forEach((x, panel) => {
    const suffix = panel ? panel + 1 : "";
    const variants = shown.filter(each => x.name in each.values && y.name in each.values);
    const baseline = figure => (data.baseline && figure.name in data.baseline ? [data.baseline[figure.name]] : []);
    const all = variants.length ? variants : data.variants.filter(each => each.front && x.name in each.values && y.name in each.values);
    const across = axisOf(x, all, logOf(data, x, "x").is, false, baseline(x));
    const up = axisOf(y, all, logOf(data, y, "y").is, true, baseline(y));
    const members = frontOf(variants, x, y);
    members.sort((a, b) => (better(x, a, b) ? -1 : better(x, b, a) ? 1 : better(y, a, b) ? 1 : -1));
    told.push(`by ${x.title.toLowerCase()}: ${members.map(each => each.shown).join(", ") || "none"}`);

    const position = each => [[across, x, pixels], [up, y, layout.meta.height]].map(([way, figure, size]) =>
      size * (way.at(each.values[figure.name]) - way.axis.range[0]) / (way.axis.range[1] - way.axis.range[0]));
    const named = [...members, ...variants.filter(each => !members.includes(each))];
    const share = each => (sure && each.shares[x.name] != null ? Math.round(100 * each.shares[x.name]) : null);
    const names = named.map(each => {
      const on = members.includes(each);
      if (!on && variants.length > FEW && !isSelected(each.name)) return null;
      return wrapped(each.shown + (on && share(each) !== null ? ` (${share(each)})` : ""));
    });
    const sides = sidesOf(names, named.map(position), pixels, layout.meta.height);

    const axes = { type: "scatter", xaxis: `x${suffix}`, yaxis: `y${suffix}` };
    traces.push({
      ...axes, mode: "lines", hoverinfo: "skip", showlegend: false, line: { shape: "hv", color: BLUE },
      x: members.map(each => across.scale(each.values[x.name])), y: members.map(each => up.scale(each.values[y.name])),
    });
    for (const on of [true, false]) {
      const places = named.flatMap((each, place) => (members.includes(each) === on ? [place] : []));
      const points = places.map(place => named[place]);
      const bars = (figure, way) => {
        const reach = (each, end) => (each.reach[figure.name] ? Math.abs(way.scale(each.reach[figure.name][end]) - way.scale(each.values[figure.name])) : 0);
        return {
          type: "data", symmetric: false, array: points.map(each => reach(each, 1)), arrayminus: points.map(each => reach(each, 0)),
          color: palette ? GREY : on ? BLUE : GREY, thickness: 1, width: 0,
        };
      };
      const symbol = each => (palette ? palette.symbol(each) : "circle") + (on ? "" : "-open");
      const trace = {
        ...axes, mode: "markers+text", showlegend: false, customdata: points.map(each => each.name),
        x: points.map(each => across.scale(each.values[x.name])), y: points.map(each => up.scale(each.values[y.name])),
        error_x: bars(x, across), error_y: bars(y, up),
        text: places.map(place => (sides[place] ? names[place].map(safe).join("<br>") : "")),
        textposition: places.map(place => sides[place] || "top center"), textfont: { size: 11 },
        marker: {
          size: on ? 11 : 9, symbol: points.map(symbol), color: points.map(each => (palette ? palette.colour(each) : on ? BLUE : GREY)),
        },
        hovertext: points.map(each => {
          const known = share(each) === null ? "" : `; in ${share(each)}% of draws it is`;
          const lines = new Map([["accuracy", `accuracy ${each.told.accuracy}, ${each.seeds} seed${each.seeds > 1 ? "s" : ""}`]]);
          for (const figure of [x, y]) if (figure.name !== "accuracy") lines.set(figure.name, `${figure.title.toLowerCase()}: ${each.told[figure.name]}`);
          const value = palette && (each.hyperparameters[chosen.get("colour")] ?? (each.facets[chosen.get("colour")] || []).join(", "));
          if (palette && value !== "") lines.set("colour", `${palette.title.toLowerCase()}: ${value}`);
          return [`<b>${safe(each.shown)}</b>`, ...[...lines.values()].map(safe), (on ? "on the front" : "not on the front") + known].join("<br>");
        }),
        hovertemplate: "%{hovertext}<extra></extra>",
      };
      traces.push(trace);
    }
    const note = way => (way.backwards ? "axis reversed" : "");
    const titled = (figure, way) => figure.title + (figure.unit || note(way) ? ` (${[figure.unit, note(way)].filter(Boolean).join(", ")})` : "");
    layout[`xaxis${suffix}`] = { ...across.axis, ...(one && { title: { text: titled(x, across) } }) };
    layout[`yaxis${suffix}`] = { ...up.axis, title: { text: titled(y, up) } };
    if (!one) {
      layout.annotations.push({
        xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom",
        text: `<b>${titled(x, across)}</b>`, showarrow: false,
      });
    }
    const line = { type: "line", line: { color: GREEN, dash: "dot" }, layer: "below" };
    baseline(y).forEach(value => layout.shapes.push({
      ...line, xref: `x${suffix} domain`, x0: 0, x1: 1, yref: `y${suffix}`, y0: up.scale(value), y1: up.scale(value) }));
    baseline(x).forEach(value => layout.shapes.push({
      ...line, yref: `y${suffix} domain`, y0: 0, y1: 1, xref: `x${suffix}`, x0: across.scale(value), x1: across.scale(value) }));
  });

  const entries = [
    { name: "on the Pareto front" + (sure && !(one && !data.costs.includes(xs[0].name)) ? " (in % of draws)" : ""), color: palette ? GREY : BLUE, symbol: "circle" },
    { name: "not on it", color: GREY, symbol: "circle-open" },
    ...(palette ? palette.entries : []),
  ];
  const dummy = { type: "scatter", x: [null], y: [null], hoverinfo: "skip" };
  entries.forEach(({ name, ...marker }) => traces.push({ ...dummy, mode: "markers", name: safe(name), marker: { size: 10, ...marker } }));
  if (layout.shapes.length) traces.push({ ...dummy, mode: "lines", name: safe(data.baseline.name), line: { color: GREEN, dash: "dot" } });
  if (palette && palette.scale) {
    traces.push({ ...dummy, mode: "markers", showlegend: false, marker: { color: [palette.scale.cmin], ...palette.scale } });
    layout.margin.t += 64;
  }
  return { figure: { data: traces, layout }, told: `${y.title} against ${one ? xs[0].title.toLowerCase() : `${xs.length} costs`}. On the Pareto front ${told.join("; ")}.` };
}

// What can be chosen of the plot, above it.
function paretoControls(data) {
  const select = (label, name, options) => {
    const list = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
    list.addEventListener("change", () => choose(name, list.value === options[0][0] ? "" : list.value));
    whenChosen.push(() => { list.value = options.some(([value]) => value === chosen.get(name)) ? chosen.get(name) : options[0][0]; });
    return make("label", {}, label, list);
  };
  const figures = data.figures.map(each => [each.name, `${each.title}, ${each.more ? "more" : "less"} is better`]);
  const first = data.figures.findIndex(each => each.name === "accuracy");
  const upwards = first > 0 ? [figures[first], ...figures.filter((_, place) => place !== first)] : figures;
  const log = way => {
    const box = make("input", { type: "checkbox" });
    const figure = () => (way === "x" ? (axesOf(data).one ? axesOf(data).xs[0] : null) : axesOf(data).y);
    box.addEventListener("change", () => choose(`${way}-scale`, box.checked ? "log" : "linear"));
    const label = make("label", {}, box, way === "x" ? "log scale across" : "log scale up");
    whenChosen.push(() => {
      const found = figure() && logOf(data, figure(), way);
      box.disabled = !found || !found.can;
      box.checked = Boolean(found && found.is);
    });
    return label;
  };
  const colours = [["", "the front"], ...data.facets.map(each => [each.name, each.title]), ...data.hyperparameters.map(name => [name, name])];
  return make("div", { className: "tools" },
    select("Across", "x", [["", "every cost, a panel each"], ...figures]), select("Up", "y", upwards), log("x"), log("y"), select("Colour", "colour", colours));
}

function paretoNote(data, caption) {
  const note = make("p", { className: "note" });
  const title = caption.textContent;
  whenChosen.push(() => {
    const { y, xs, one } = axesOf(data);
    caption.textContent = one ? `${y.title} against ${xs[0].title.toLowerCase()}: up and to the left is better` : title;
    const out = data.variants.filter(each => !each.front && isShown(each.name)).map(each => each.shown);
    const more = out.length > 8 ? ` and ${out.length - 8} more` : "";
    const said = "The front is drawn anew among what is shown.";
    note.textContent = out.length ? `${said} Not known to be better than the majority class, and so not drawn: ${out.slice(0, 8).join(", ")}${more}.` : said;
  });
  return note;
}
