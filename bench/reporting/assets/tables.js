"use strict";

// Tables: every heading sorts, a box filters, what was folded away unfolds, and a row is selected by its name.

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

// The names are buttons. One of a table is reached by Tab, the others from there by the arrow keys. Returns what keeps
// one within reach when rows are hidden.
function makeSelectable(table) {
  let reached = null;
  const buttons = () => [...table.querySelectorAll("tr:not([hidden]) .pick")];
  const reach = wanted => {
    const all = buttons();
    reached = all.includes(wanted) ? wanted : all[0];
    all.forEach(each => { each.tabIndex = each === reached ? 0 : -1; });
  };
  for (const row of table.tBodies[0].rows) {
    if (row.dataset.variant === undefined) continue;
    const name = row.cells[0];
    name.append(make("button", { type: "button", className: "pick" }, ...name.childNodes));
    row.addEventListener("click", event => {
      const aimed = event.target.closest(".pick") || getSelection().isCollapsed; // not the end of marking a text
      if (aimed) toggle("select", row.dataset.variant);
    });
  }
  table.addEventListener("keydown", event => {
    const all = buttons();
    const place = all.indexOf(event.target);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: all.length - 1 }[event.key];
    if (place < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  });
  table.addEventListener("focusin", event => {
    if (event.target.matches(".pick")) reach(event.target);
  });
  return () => reach(reached);
}

function bringTable(box) {
  const table = box.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const columns = [...table.tHead.rows[0].cells];
  const folded = new Set("shown" in box.dataset ? rows.slice(Number(box.dataset.shown)) : []);
  const rest = make("button", { type: "button", className: "rest" }, box.dataset.rest || "Show all");
  const input = make("input", { type: "search", autocomplete: "off" });
  const output = make("output", {});
  const keepReachable = makeSelectable(table);

  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length || filtering()) folded.clear();
    rest.hidden = !folded.size;
    for (const row of rows) {
      const name = row.dataset.variant;
      const text = words.length ? row.textContent.toLowerCase() : "";
      const fits = words.every(word => text.includes(word)) && (name === undefined || isShown(name));
      const selected = isSelected(name);
      row.hidden = !fits || (folded.has(row) && !selected);
      row.classList.toggle("selected", selected);
      row.querySelector(".pick")?.setAttribute("aria-pressed", selected);
    }
    keepReachable();
    columns.forEach((heading, column) => {
      const name = heading.dataset.variant;
      if (name === undefined) return;
      for (const row of table.rows) {
        row.cells[column].hidden = !isShown(name);
        row.cells[column].classList.toggle("selected", isSelected(name));
      }
    });
    const left = rows.filter(row => !row.hidden).length;
    output.textContent = words.length || filtering() ? `${left} of ${rows.length} rows` : "";
  };

  const unfold = () => { folded.clear(); show(); };
  if (folded.size) {
    rest.addEventListener("click", () => { unfold(); box.focus(); });
    box.after(rest);
  }
  if ("searchable" in box.dataset) {
    makeSortable(table, unfold);
    input.addEventListener("input", show);
    box.before(make("div", { className: "tools" }, make("label", {}, "Filter", input), output));
  }
  whenChosen.push(show);
  show();
}
