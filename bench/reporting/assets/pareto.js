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

function better({ name, more }, one, other) {
  return more ? one.values[name] > other.values[name] : one.values[name] < other.values[name];
}

// A variant is beaten by one that is no worse in both figures and better in one; equal ones don't beat each other.
function frontOf(variants, x, y) {
  const beats = (one, other) =>
    ![x, y].some(figure => better(figure, other, one)) && [x, y].some(figure => better(figure, one, other));
  return variants.filter(each => !variants.some(other => beats(other, each)));
}

// An axis runs so that better is left, or up: backwards where the figure's own direction is the other. Values are
// in the figure's unit; `also` are more that must be on it.
function axisOf(figure, variants, log, betterIsHigh, also) {
  const { name, size, unit, signed, title } = figure;
  const of = each => each.values[name] / size;
  const reach = each => (each.reach[name] || [each.values[name], each.values[name]]).map(value => value / size);
  const values = [...also.map(value => value / size), ...variants.flatMap(each => [of(each), ...reach(each)])];
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = betterIsHigh ? 0.1 : 0.18;
  if (log) {
    const factor = Math.max(1.1, (high / low) ** room);
    [low, high] = [low / factor, high * factor];
  } else {
    const more = room * (high - low) || 0.1 * Math.abs(high) || 1;
    const most = unit === "%" ? Math.max(100, high) : Infinity;
    [low, high] = [signed ? low - more : Math.max(0, low - more), Math.min(most, high + more)];
  }
  const backwards = figure.more !== betterIsHigh;
  const at = log ? Math.log10 : Number;
  const range = (backwards ? [high, low] : [low, high]).map(at);
  const tickvals = log ? ticksOf(low, high) : null;
  const ticks = log ? { tickvals, ticktext: tickvals.map(written) } : { tickformat: ",~r", nticks: 6 };
  const told = [unit, backwards ? "axis reversed" : ""].filter(Boolean).join(", ");
  return {
    of,
    part: each => (at(of(each)) - range[0]) / (range[1] - range[0]),
    bars: (these, color) => ({
      type: "data", symmetric: false, color, thickness: 1, width: 0,
      array: these.map(each => reach(each)[1] - of(each)), arrayminus: these.map(each => of(each) - reach(each)[0]),
    }),
    title: title + (told && ` (${told})`),
    axis: { type: log ? "log" : "linear", range, ...ticks },
  };
}

function written(number) {
  return number.toLocaleString("en", { maximumFractionDigits: 10 });
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
function sidesOf(names, points, { width, height }) {
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

// What colours the points, where that isn't the front: a facet or a hyperparameter.
function paletteOf(data, variants) {
  const name = chosen.get("colour");
  const facet = data.facets.find(each => each.name === name);
  if (!facet && !data.hyperparameters.includes(name)) return null;
  const value = each => (facet ? each.facets[name].join(", ") || undefined : each.hyperparameters[name]);
  const title = facet ? facet.title : name;
  const values = [...new Set(variants.map(value))].filter(each => each !== undefined);
  const numbers = values.every(each => typeof each === "number");
  values.sort(numbers ? (a, b) => a - b : (a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
  const many = numbers && values.length > COLOURS.length;
  const found = many ? scaleOf(values, value, title) : legendOf(values, value, facet ? "" : `${name}=`);
  const without = variants.filter(each => found.colour(each) === GREY);
  return {
    ...found,
    told: each => `${title.toLowerCase()}: ${value(each) ?? "–"}`,
    entries: [...found.entries, ...(without.length ? [{ name: `no ${title}`, color: GREY, symbol: "circle" }] : [])],
  };
}

// A colour and a symbol for each value.
function legendOf(values, value, before) {
  const place = each => values.indexOf(value(each));
  const colourAt = at => (at < 0 ? GREY : COLOURS[at % COLOURS.length]);
  const symbolAt = at => SYMBOLS[at < 0 ? 0 : (at + Math.floor(at / COLOURS.length)) % SYMBOLS.length];
  return {
    colour: each => colourAt(place(each)),
    symbol: each => symbolAt(place(each)),
    entries: values.map((each, at) => ({ name: `${before}${each}`, color: colourAt(at), symbol: symbolAt(at) })),
  };
}

// Of many numbers, a scale of colours; on a logarithmic one, what isn't above 0 has none.
function scaleOf(values, value, title) {
  const above = values.filter(each => each > 0);
  const log = above.length > 1 && values[0] >= 0 && above[above.length - 1] > LOG * above[0];
  const [low, high] = log ? [above[0], above[above.length - 1]] : [values[0], values[values.length - 1]];
  const at = log ? Math.log10 : Number;
  const tickvals = log ? ticksOf(low, high) : null;
  return {
    colour: each => {
      const found = value(each);
      return found === undefined || (log && found <= 0) ? GREY : blended((at(found) - at(low)) / (at(high) - at(low)));
    },
    symbol: () => "circle",
    entries: [],
    scale: {
      cmin: at(low), cmax: at(high), colorscale: BLEND, showscale: true,
      colorbar: {
        orientation: "h", yref: "container", y: 1, yanchor: "top", x: 0, xanchor: "left", len: 1, thickness: 10,
        title: { text: safe(title), side: "top" },
        ...(log && { tickvals: tickvals.map(at), ticktext: tickvals.map(written) }),
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

function axesOf({ figures, costs }) {
  const named = name => figures.find(each => each.name === name);
  const y = named(chosen.get("y")) || named("accuracy");
  const x = named(chosen.get("x"));
  const others = costs.filter(name => name !== y.name).map(named);
  return { y, xs: x ? [x] : others.length ? others : [named("accuracy")], one: Boolean(x) };
}

// The variants that can be on a front and have all of the figures.
function drawable(data, ...figures) {
  return data.variants.filter(each => each.front && figures.every(({ name }) => name in each.values));
}

// Whether a figure can be on a logarithmic axis, and whether it is.
function logOf(data, figure, way) {
  const values = drawable(data, figure).map(each => each.values[figure.name]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const asked = chosen.get(`${way}-scale`);
  return { can: low > 0, is: low > 0 && (asked === "log" || (asked !== "linear" && high > LOG * low)) };
}

// The shares of draws in which a variant is on the front are of the fronts of accuracy, and of all methods.
function knowsShares(y) {
  return y.name === "accuracy" && !filtering();
}

// All that stands in one panel.
function panelOf(data, x, y, size, palette) {
  const all = drawable(data, x, y);
  const variants = all.filter(each => isShown(each.name));
  const baseline = figure => (data.baseline && figure.name in data.baseline ? [data.baseline[figure.name]] : []);
  const ways = {
    x: axisOf(x, variants.length ? variants : all, logOf(data, x, "x").is, false, baseline(x)),
    y: axisOf(y, variants.length ? variants : all, logOf(data, y, "y").is, true, baseline(y)),
  };
  const members = frontOf(variants, x, y);
  members.sort((a, b) => (better(x, a, b) ? -1 : better(x, b, a) ? 1 : better(y, b, a) ? -1 : Number(better(y, a, b))));
  const ordered = [...members, ...variants.filter(each => !members.includes(each))];

  const share = each => {
    const found = knowsShares(y) ? each.shares[x.name] : null;
    return found == null ? null : Math.round(100 * found);
  };
  const names = ordered.map((each, place) => {
    const on = place < members.length;
    if (!on && variants.length > FEW && !isSelected(each.name)) return null;
    return wrapped(each.shown + (on && share(each) !== null ? ` (${share(each)})` : ""));
  });
  const at = ordered.map(each => [ways.x.part(each) * size.width, ways.y.part(each) * size.height]);
  const sides = sidesOf(names, at, size);

  const front = {
    mode: "lines", hoverinfo: "skip", showlegend: false, line: { shape: "hv", color: BLUE },
    x: members.map(ways.x.of), y: members.map(ways.y.of),
  };
  const points = [true, false].map(on => {
    const places = ordered.flatMap((_, place) => (place < members.length === on ? [place] : []));
    const these = places.map(place => ordered[place]);
    const plain = on ? BLUE : GREY;
    return {
      mode: "markers+text", showlegend: false, customdata: these.map(each => each.name),
      x: these.map(ways.x.of), y: these.map(ways.y.of),
      error_x: ways.x.bars(these, palette ? GREY : plain), error_y: ways.y.bars(these, palette ? GREY : plain),
      text: places.map(place => (sides[place] ? names[place].map(safe).join("<br>") : "")),
      textposition: places.map(place => sides[place] || "top center"), textfont: { size: 11 },
      marker: {
        size: on ? 11 : 9,
        symbol: these.map(each => (palette ? palette.symbol(each) : "circle") + (on ? "" : "-open")),
        color: these.map(each => (palette ? palette.colour(each) : plain)),
      },
      hovertext: these.map(each => hoverOf(each, x, y, on, share(each), palette)),
      hovertemplate: "%{hovertext}<extra></extra>",
    };
  });
  const lines = [
    ...baseline(y).map(value => ({ level: true, at: value / y.size })),
    ...baseline(x).map(value => ({ level: false, at: value / x.size })),
  ];
  return { ways, lines, traces: [front, ...points], members };
}

function hoverOf(variant, x, y, on, share, palette) {
  const others = [...new Set([x, y])].filter(figure => figure.name !== "accuracy");
  const lines = [
    `accuracy ${variant.told.accuracy}, ${variant.seeds} seed${variant.seeds > 1 ? "s" : ""}`,
    ...others.map(figure => `${figure.title.toLowerCase()}: ${variant.told[figure.name]}`),
    ...(palette ? [palette.told(variant)] : []),
    (on ? "on the front" : "not on the front") + (share === null ? "" : `; in ${share}% of draws it is`),
  ];
  return [`<b>${safe(variant.shown)}</b>`, ...lines.map(safe)].join("<br>");
}

// The whole plot as a figure of plotly's, and in words.
function paretoOf(data, width) {
  const { y, xs, one } = axesOf(data);
  const layout = {
    margin: { l: 64, r: 24, t: 32, b: 56 }, hovermode: "closest", showlegend: true, shapes: [], annotations: [],
    legend: { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" },
    meta: { height: one ? 420 : 280, columns: one ? 1 : 2, rows: [] },
  };
  const size = { width: columnsOf(layout, width, xs.length).pixels, height: layout.meta.height };
  const palette = paletteOf(data, drawable(data, y).filter(each => isShown(each.name)));
  const panels = xs.map(x => panelOf(data, x, y, size, palette));
  const traces = panels.flatMap(({ traces: found }, place) => {
    const suffix = place ? place + 1 : "";
    return found.map(trace => ({ type: "scatter", xaxis: `x${suffix}`, yaxis: `y${suffix}`, ...trace }));
  });
  panels.forEach(({ ways, lines }, place) => {
    const suffix = place ? place + 1 : "";
    layout[`xaxis${suffix}`] = { ...ways.x.axis, ...(one && { title: { text: ways.x.title } }) };
    layout[`yaxis${suffix}`] = { ...ways.y.axis, automargin: true, title: { text: ways.y.title } };
    const domain = { xref: `x${suffix} domain`, yref: `y${suffix} domain` };
    if (!one) {
      const corner = { x: 0, y: 1, xanchor: "left", yanchor: "bottom", showarrow: false };
      layout.annotations.push({ ...domain, ...corner, text: `<b>${ways.x.title}</b>` });
    }
    for (const { level, at } of lines) {
      const ends = level
        ? { x0: 0, x1: 1, yref: `y${suffix}`, y0: at, y1: at }
        : { y0: 0, y1: 1, xref: `x${suffix}`, x0: at, x1: at };
      layout.shapes.push({ type: "line", layer: "below", line: { color: GREEN, dash: "dot" }, ...domain, ...ends });
    }
  });

  const shares = knowsShares(y) && xs.some(x => data.costs.includes(x.name));
  const entries = [
    { name: `on the Pareto front${shares ? " (in % of draws)" : ""}`, color: palette ? GREY : BLUE, symbol: "circle" },
    { name: "not on it", color: GREY, symbol: "circle-open" },
    ...(palette ? palette.entries : []),
  ];
  const unseen = { type: "scatter", mode: "markers", x: [null], y: [null], hoverinfo: "skip" };
  for (const { name, ...look } of entries) traces.push({ ...unseen, name: safe(name), marker: { size: 10, ...look } });
  if (layout.shapes.length) {
    const [{ line }] = layout.shapes;
    traces.push({ ...unseen, mode: "lines", name: safe(data.baseline.name), line });
  }
  if (palette?.scale) {
    traces.push({ ...unseen, showlegend: false, marker: { color: [palette.scale.cmin], ...palette.scale } });
    layout.margin.t += 64;
  }
  const fronts = panels.map(({ members }, place) =>
    `by ${xs[place].title.toLowerCase()}: ${members.map(each => each.shown).join(", ") || "none"}`);
  const against = one ? xs[0].title.toLowerCase() : `cost, ${xs.length} panels`;
  const told = `${y.title} against ${against}. On the Pareto front ${fronts.join("; ")}.`;
  return { figure: { data: traces, layout }, told };
}

// What can be chosen of the plot, above it.
function paretoControls(data) {
  const select = (label, name, options) => {
    const [[first]] = options;
    const list = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
    list.addEventListener("change", () => choose(name, list.value === first ? "" : list.value));
    whenChosen.push(() => {
      list.value = chosen.get(name) ?? first;
      if (list.selectedIndex < 0) list.value = first;
    });
    return make("label", {}, label, list);
  };
  const log = (label, way, figure) => {
    const box = make("input", { type: "checkbox" });
    box.addEventListener("change", () => choose(`${way}-scale`, box.checked ? "log" : "linear"));
    whenChosen.push(() => {
      const { can, is } = figure() ? logOf(data, figure(), way) : { can: false, is: false };
      box.disabled = !can;
      box.checked = is;
    });
    return make("label", {}, box, label);
  };
  const figures = data.figures.map(({ name, title, more }) => [name, `${title}, ${more ? "more" : "less"} is better`]);
  const across = [["", "every cost, a panel each"], ...figures];
  const colours = [
    ["", "the front"],
    ...data.facets.map(({ name, title }) => [name, title]),
    ...data.hyperparameters.map(name => [name, name]),
  ];
  return make("div", { className: "tools" },
    select("Across", "x", across), log("log scale across", "x", () => (axesOf(data).one ? axesOf(data).xs[0] : null)),
    select("Up", "y", figures), log("log scale up", "y", () => axesOf(data).y), select("Colour", "colour", colours));
}

// What the plot shows now, in its caption and below it.
function paretoNote(data, caption) {
  const note = make("p", { className: "note" });
  const title = caption.textContent;
  whenChosen.push(() => {
    const { y, xs, one } = axesOf(data);
    caption.textContent = one ? `${y.title} against ${xs[0].title.toLowerCase()}: up and to the left is better` : title;
    const out = data.variants.filter(each => !each.front && isShown(each.name)).map(each => each.shown);
    const more = out.length > FEW ? ` and ${out.length - FEW} more` : "";
    const left = "Not known to be better than the majority class, and so not drawn:";
    const named = out.length ? `${left} ${out.slice(0, FEW).join(", ")}${more}.` : "";
    note.textContent = `The front is drawn anew among what is shown. ${named}`;
  });
  return note;
}
