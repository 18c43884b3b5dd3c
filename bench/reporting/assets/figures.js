"use strict";

// Pictures: the drawing gives way to one that tells more where the pointer is. Paper keeps the drawing.

const NARROW = 640;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
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

// How many panels stand side by side, `meta.columns` of them where there is room, and how wide each is.
function columnsOf(layout, width, panels) {
  const columns = Math.min(panels, width < NARROW ? Math.ceil(layout.meta.columns / 3) : layout.meta.columns);
  const inner = width - layout.margin.l - layout.margin.r;
  const gap = (layout.meta.columns > 2 ? 20 : 80) / inner;
  const wide = (1 - gap * (columns - 1)) / columns;
  return { columns, gap, wide, pixels: wide * inner };
}

// Plotly gives all entries the longest one's width where they need more than a row.
function legendRows(data, width) {
  const wide = data.filter(trace => trace.name && trace.showlegend !== false).map(trace => 50 + 7 * trace.name.length);
  const fits = wide.reduce((sum, each) => sum + each, 0) <= width;
  return fits ? Math.sign(wide.length) : Math.ceil(wide.length / Math.max(1, Math.floor(width / Math.max(...wide))));
}

// The panels side by side; `meta.height` is a panel's height in pixels. More than two share a scale, which stands to
// the left and below.
function arrange({ data, layout }, width) {
  const panels = Object.keys(layout).filter(name => /^xaxis\d*$/.test(name)).length;
  const small = layout.meta.columns > 2;
  const { columns, gap, wide } = columnsOf(layout, width, panels);
  const rows = Math.ceil(panels / columns);
  const { t, b } = layout.margin;
  const legend = 20 * legendRows(data, width - layout.margin.l - layout.margin.r);
  const above = small ? 32 : 84;
  const inner = rows * layout.meta.height + (rows - 1) * above;
  for (let panel = 0; panel < panels; panel++) {
    const [row, column] = [Math.floor(panel / columns), panel % columns];
    const [x, y] = ["xaxis", "yaxis"].map(name => layout[name + (panel ? panel + 1 : "")]);
    const top = 1 - row * (layout.meta.height + above) / inner;
    [x.anchor, y.anchor] = ["y", "x"].map(name => name + (panel ? panel + 1 : ""));
    x.domain = [column * (wide + gap), column * (wide + gap) + wide];
    y.domain = [Math.max(0, top - layout.meta.height / inner), top];
    if (small) [x.showticklabels, y.showticklabels] = [panel + columns >= panels, column === 0];
  }
  layout.margin.b = b + legend;
  layout.height = inner + t + layout.margin.b;
}

function themed(figure, width) {
  const { data, layout } = figure;
  arrange(figure, width);
  Object.assign(layout, {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: width < NARROW ? 11 : 13, color: colour("--ink") },
    hoverlabel: {
      align: "left", bgcolor: colour("--tint"), bordercolor: colour("--quiet"), font: { color: colour("--ink") },
    },
    dragmode: false,
    width,
  });
  for (const [name, axis] of Object.entries(layout)) {
    if (!/^[xy]axis\d*$/.test(name)) continue;
    if (axis.title) Object.assign(axis.title, { standoff: 10, font: { size: layout.font.size } });
    Object.assign(axis, { gridcolor: colour("--line"), linecolor: colour("--quiet") });
    Object.assign(axis, { zeroline: false, fixedrange: true });
  }
  if (width < NARROW) data.filter(trace => trace.type === "bar").forEach(trace => { delete trace.text; });
  return figure;
}

// Each point's variant, or the one that the whole trace is of.
function variantsOf(trace) {
  return trace.customdata || (typeof trace.meta === "string" ? [trace.meta] : []);
}

// The trace with these of its points alone.
function part(trace, places) {
  const of = (values, names) => values && Object.fromEntries(Object.entries(values).map(([name, value]) =>
    [name, names.includes(name) && Array.isArray(value) ? places.map(place => value[place]) : value]));
  const found = of(trace, ["x", "y", "text", "textposition", "hovertext", "customdata"]);
  found.marker = of(trace.marker, ["color", "size", "symbol"]);
  for (const bars of ["error_x", "error_y"]) found[bars] = of(trace[bars], ["array", "arrayminus"]);
  return found;
}

function placesOf(trace, wanted) {
  return trace.customdata.flatMap((name, place) => (wanted(name) ? [place] : []));
}

const LINE = 15; // pixels of a line of a row's name

// Names of rows are folded where they would leave the picture no room; the rows stand as far apart as all lines need.
function spaced(figure, width) {
  const { yaxis, meta } = figure.layout;
  if (!meta.rows.length) return figure;
  const names = yaxis.ticktext.map(name => wrapped(name, width < NARROW ? 24 : 52));
  const most = Math.max(...names.map(lines => lines.length));
  yaxis.ticktext = names.map(lines => lines.join("<br>"));
  meta.height = Math.max(meta.height, names.length * (LINE * most + 5));
  return figure;
}

// Of many small pictures those that no trace is left in make room for the others.
function closedUp({ data, layout }) {
  const drawn = new Set(data.map(trace => trace.xaxis.slice("x".length)));
  const panels = Object.keys(layout).filter(name => /^xaxis\d*$/.test(name)).map(name => name.slice("xaxis".length));
  const now = new Map();
  for (const panel of panels) {
    const axes = [layout[`xaxis${panel}`], layout[`yaxis${panel}`]];
    [`xaxis${panel}`, `yaxis${panel}`].forEach(name => delete layout[name]);
    if (!drawn.has(panel)) continue;
    const place = now.size ? String(now.size + 1) : "";
    now.set(panel, place);
    [layout[`xaxis${place}`], layout[`yaxis${place}`]] = axes;
  }
  layout.annotations = layout.annotations.filter(({ xref }) => drawn.has(xref.match(/\d*(?= domain)/)[0]));
  const moved = name => name.replace(/^(.)(\d*)/, (_, axis, panel) => axis + now.get(panel));
  for (const note of layout.annotations) [note.xref, note.yref] = [moved(note.xref), moved(note.yref)];
  for (const trace of data) [trace.xaxis, trace.yaxis] = [moved(trace.xaxis), moved(trace.yaxis)];
}

// Of methods that aren't shown neither points nor rows are left, nor small pictures.
function filtered(figure) {
  const rows = figure.layout.meta.rows;
  const left = rows.filter(isShown);
  figure.data = figure.data.flatMap(trace => {
    if (!trace.customdata) return variantsOf(trace).every(isShown) ? [trace] : [];
    const found = part(trace, placesOf(trace, isShown));
    if (rows.length) found.y = found.y.map(row => left.indexOf(rows[row]));
    return found.x.length ? [found] : [];
  });
  if (left.length < rows.length) {
    const { yaxis, meta } = figure.layout;
    yaxis.ticktext = yaxis.ticktext.filter((_, row) => isShown(rows[row]));
    yaxis.tickvals = left.map((_, row) => row);
    yaxis.range = [left.length - 0.4, -0.6];
    meta.height = Math.max(120, Math.round(meta.height * left.length / rows.length));
  }
  if (figure.layout.meta.columns > 2) closedUp(figure);
  return figure;
}

const FAINT = 0.3;

// What is selected stands out: a ring around its points, a thicker line, and all else faint.
function marked(figure) {
  if (!figure.data.some(trace => variantsOf(trace).some(isSelected))) return figure;
  const ink = colour("--ink");
  figure.data = figure.data.flatMap(trace => {
    const names = variantsOf(trace);
    if (!names.length) return [trace];
    const apart = trace.customdata && !trace.mode.includes("lines"); // else its points belong together
    const others = apart ? part(trace, placesOf(trace, name => !isSelected(name))) : trace;
    const faint = { ...others, opacity: FAINT * (trace.opacity ?? 1) };
    if (!names.some(isSelected)) return [faint];
    if (!trace.customdata) {
      if (trace.fill) return [trace];
      const dull = trace.opacity < 1; // one of many that had no colour of their own
      return [{ ...trace, opacity: 1, line: { ...trace.line, width: 4, ...(dull && { color: ink }) } }];
    }
    if (trace.mode === "lines") return [faint];
    const alone = { ...part(trace, placesOf(trace, isSelected)), showlegend: false };
    if (alone.mode === "lines+markers") alone.mode = "markers";
    alone.marker = { ...alone.marker, size: 14 };
    const ring = {
      ...alone, mode: "markers", error_x: undefined, error_y: undefined, hoverinfo: "skip", hovertemplate: undefined,
      marker: { symbol: "circle-open", size: 18, color: ink, line: { width: 2.5 } },
    };
    return [faint, alone, ring];
  });
  return figure;
}

// In place of a picture that none of the shown methods is in.
function nothing() {
  const text = "None of the methods that are shown is in this picture.";
  const annotation = { text, showarrow: false, xref: "paper", yref: "paper", x: 0, y: 0.5 };
  return {
    data: [],
    layout: {
      margin: { l: 64, r: 24, t: 0, b: 0 }, annotations: [annotation], meta: { height: 60, columns: 1, rows: [] },
      xaxis: { visible: false }, yaxis: { visible: false },
    },
  };
}

// `made` returns the figure for a width, anew each time, and what it shows in words. It is drawn when a reader comes
// near: a page may have dozens.
function bringToLife(holder, made) {
  const plot = make("div", { className: "plot" });
  plot.setAttribute("role", "img");
  holder.append(plot);
  let [near, due] = [false, true];
  const draw = () => {
    const width = plot.clientWidth;
    due = !near || width === 0; // on paper, or folded away
    if (due) return;
    holder.classList.add("live");
    const { figure, told } = made(width);
    plot.setAttribute("aria-label", told);
    const named = figure.data.some(trace => variantsOf(trace).length);
    const left = filtered(spaced(figure, width));
    const empty = named && !left.data.some(trace => variantsOf(trace).length);
    const { data, layout } = themed(empty ? nothing() : marked(left), width);
    const first = !plot.data;
    Plotly.react(plot, data, layout, { displayModeBar: false });
    if (first) {
      plot.on("plotly_click", ({ points: [point] }) => {
        const name = point.customdata ?? point.data.meta;
        if (name !== undefined) toggle("select", name);
      });
    }
  };
  new IntersectionObserver(entries => {
    near = entries[entries.length - 1].isIntersecting;
    if (near && due) draw();
  }, { rootMargin: "100%" }).observe(holder);
  new ResizeObserver(draw).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  whenChosen.push(draw);
}
