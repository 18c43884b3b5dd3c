"use strict";

async function unpacked(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// The bar at the top: a button for each value of each facet, and what is selected.
function choiceBar() {
  const bar = make("section", { className: "choice" });
  bar.setAttribute("aria-label", "Choose methods");
  for (const [name, { title, values }] of facets) {
    const group = make("div", {}, make("span", {}, title));
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", title);
    for (const value of [...values].sort()) {
      const button = make("button", { type: "button" }, value);
      button.addEventListener("click", () => toggle(name, value));
      whenChosen.push(() => button.setAttribute("aria-pressed", has(name, value)));
      group.append(button);
    }
    bar.append(group);
  }
  const output = make("output", {});
  const selected = make("div", {});
  const clear = make("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => {
    for (const name of [...facets.keys(), "select"]) chosen.delete(name);
    changed();
  });
  bar.append(make("div", {}, selected, clear, output));
  const rows = [...document.querySelectorAll("tr[data-variant]")];
  const names = [...new Set(rows.map(row => row.dataset.variant))];
  whenChosen.push(() => {
    const picked = names.filter(isSelected);
    selected.replaceChildren(...picked.map(name => {
      const button = make("button", { type: "button", className: "picked", title: "Deselect" }, name);
      button.addEventListener("click", () => toggle("select", name));
      return button;
    }));
    const left = [...variants].filter(isShown).length;
    const hint = picked.length ? "" : "Click a row or a point to select it.";
    output.textContent = filtering() ? `${left} of ${variants.size} variants` : hint;
    clear.hidden = !filtering() && !picked.length;
  });
  return bar;
}

function gather(data) {
  for (const { name, title } of data.facets) {
    const found = facets.get(name) || { title, values: new Set() };
    data.variants.forEach(each => each.facets[name].forEach(value => found.values.add(value)));
    facets.set(name, found);
  }
  for (const { name, method, facets: values } of data.variants) {
    variants.add(name);
    valuesOf.set(name, values);
    if (!valuesOf.has(method)) valuesOf.set(method, values); // a search is of a method
  }
}

async function drawAll() {
  const [library, packed] = await Promise.all(["library", "figures"].map(unpacked));
  document.head.append(make("script", { textContent: library }));
  const holders = [...document.querySelectorAll("figure[data-figure]")];
  const figures = JSON.parse(packed);
  figures.filter(figure => figure.explore).forEach(gather);
  for (const [name, { values }] of facets) if (values.size < 2) facets.delete(name);
  const bar = choiceBar();
  document.querySelector("main").before(bar);
  figures.forEach((figure, place) => {
    const holder = holders[place];
    if (figure.explore) {
      holder.append(paretoControls(figure));
      bringToLife(holder, width => paretoOf(figure, width));
      holder.append(paretoNote(figure, holder.querySelector("figcaption")));
    } else {
      bringToLife(holder, () => ({ figure: structuredClone(figure), told: holder.querySelector("img").alt }));
    }
  });
  changed();
  arrive();
}

function arrive() {
  if (chosen.toString() && section) document.getElementById(section)?.scrollIntoView();
}

readAddress();
document.querySelectorAll(".table").forEach(bringTable);
addEventListener("hashchange", () => { readAddress(); changed(); arrive(); });
// A browser from before 2023 can't unpack, and keeps the drawings.
if (document.getElementById("library") && "DecompressionStream" in window) drawAll();
