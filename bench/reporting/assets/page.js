"use strict";

// Tables: every heading sorts, a box filters, and what was folded away unfolds.

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function compare(one, other) {
  const [a, b] = [one, other].map(cell => cell.dataset.value);
  if (a !== undefined && b !== undefined) return a - b;
  return one.textContent.localeCompare(other.textContent, "en", { numeric: true });
}

function sort(table, column, direction) {
  const rows = [...table.tBodies[0].rows];
  const absent = row => row.cells[column].textContent === "–";
  rows.sort((one, other) =>
    absent(one) - absent(other) || direction * compare(one.cells[column], other.cells[column]));
  table.tBodies[0].append(...rows);
}

function makeSortable(table, changed) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      // Figures are asked for the highest first, names from A to Z.
      const first = heading.classList.contains("number") ? "descending" : "ascending";
      const opposite = first === "ascending" ? "descending" : "ascending";
      const now = before === first ? opposite : first;
      headings.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", now);
      sort(table, column, now === "ascending" ? 1 : -1);
      changed();
    });
  });
}

function makeFilter(box, table, changed) {
  const rows = [...table.tBodies[0].rows];
  const input = make("input", { type: "search", autocomplete: "off" });
  const output = make("output", {});
  const tell = shown => { output.textContent = `${shown} of ${rows.length} rows`; };
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    changed();
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
    tell(rows.filter(row => !row.hidden).length);
  });
  box.before(make("div", { className: "tools" }, make("label", {}, "Filter", input), output));
}

function fold(box, table) {
  const rows = [...table.tBodies[0].rows].slice(Number(box.dataset.shown));
  const button = make("button", { type: "button", className: "rest" }, box.dataset.rest || "Show all");
  const unfold = () => {
    rows.forEach(row => { row.hidden = false; });
    button.remove();
  };
  rows.forEach(row => { row.hidden = true; });
  button.addEventListener("click", () => { unfold(); box.focus(); });
  box.after(button);
  return unfold;
}

for (const box of document.querySelectorAll(".table")) {
  const table = box.querySelector("table");
  let unfold = "shown" in box.dataset ? fold(box, table) : () => {};
  const once = () => { unfold(); unfold = () => {}; };
  if ("searchable" in box.dataset) {
    makeSortable(table, once);
    makeFilter(box, table, once);
  }
}

// Pictures: the drawing gives way to one that tells more where the pointer is. Paper keeps the drawing.

const NARROW = 640;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The panels side by side where there is room, `meta.columns` of them, else fewer; `meta.height` is a panel's height in
// pixels. More than two share a scale, which stands to the left and below.
function arrange(layout, width) {
  const panels = Object.keys(layout).filter(name => /^xaxis\d*$/.test(name)).length;
  const small = layout.meta.columns > 2;
  const columns = Math.min(panels, width < NARROW ? Math.ceil(layout.meta.columns / 3) : layout.meta.columns);
  const rows = Math.ceil(panels / columns);
  const { l, r, t, b } = layout.margin;
  const legend = 22 * Math.ceil(layout.meta.entries / Math.max(1, Math.floor(width / 200)));
  const [gap, above] = [(small ? 20 : 80) / (width - l - r), small ? 32 : 84];
  const inner = rows * layout.meta.height + (rows - 1) * above;
  for (let panel = 0; panel < panels; panel++) {
    const [row, column] = [Math.floor(panel / columns), panel % columns];
    const [x, y] = ["xaxis", "yaxis"].map(name => layout[name + (panel ? panel + 1 : "")]);
    const wide = (1 - gap * (columns - 1)) / columns;
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
  const layout = structuredClone(figure.layout);
  arrange(layout, width);
  Object.assign(layout, {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: width < NARROW ? 11 : 13, color: colour("--ink") },
    hoverlabel: { align: "left", bgcolor: colour("--tint"), bordercolor: colour("--quiet"), font: { color: colour("--ink") } },
    dragmode: false,
  });
  for (const [name, axis] of Object.entries(layout)) {
    if (!/^[xy]axis\d*$/.test(name)) continue;
    if (axis.title) Object.assign(axis.title, { standoff: 10, font: { size: layout.font.size } });
    Object.assign(axis, { gridcolor: colour("--line"), linecolor: colour("--quiet"), zeroline: false, fixedrange: true });
  }
  const data = structuredClone(figure.data);
  if (width < NARROW) data.filter(trace => trace.type === "bar").forEach(trace => { delete trace.text; });
  return [data, layout];
}

function bringToLife(holder, figure) {
  const plot = make("div", { className: "plot" });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", holder.querySelector("img").alt);
  holder.append(plot);
  holder.classList.add("live");
  const draw = () => {
    if (plot.clientWidth === 0) return; // on paper
    const [data, layout] = themed(figure, plot.clientWidth);
    Plotly.react(plot, data, { ...layout, width: plot.clientWidth }, { displayModeBar: false });
  };
  draw();
  new ResizeObserver(draw).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

async function unpacked(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function drawAll() {
  const [library, figures] = await Promise.all(["library", "figures"].map(unpacked));
  document.head.append(make("script", { textContent: library }));
  const holders = document.querySelectorAll("figure[data-figure]");
  JSON.parse(figures).forEach((figure, place) => bringToLife(holders[place], figure));
}

// A browser from before 2023 can't unpack, and keeps the drawings.
if (document.getElementById("library") && "DecompressionStream" in window) drawAll();
