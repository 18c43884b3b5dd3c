"use strict";

// What a reader has chosen stands in the address, after the section that a link of the contents leads to:
// #report-2&x=train_s&family=prompts&select=lora+alpha%3D8. A link shows what its sender saw.

let section = "";
let chosen = new URLSearchParams();
const whenChosen = [];

function readAddress() {
  const parts = location.hash.slice(1).split("&");
  section = parts[0].includes("=") ? "" : parts.shift();
  // A link to a section says nothing else, and leaves what was chosen.
  if (parts.length || !section) chosen = new URLSearchParams(parts.join("&"));
}

function changed() {
  const address = [section, chosen.toString()].filter(Boolean).join("&");
  if (location.hash.slice(1) !== address) history.replaceState(null, "", `#${address}`);
  whenChosen.forEach(show => show());
}

// One value, or none for what is shown before anything is chosen.
function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  changed();
}

function has(name, value) {
  return chosen.getAll(name).includes(value);
}

// One of several values.
function toggle(name, value) {
  const others = chosen.getAll(name).filter(other => other !== value);
  const before = has(name, value);
  chosen.delete(name);
  (before ? others : [...others, value]).forEach(each => chosen.append(name, each));
  changed();
}

function isSelected(variant) {
  return has("select", variant);
}

// Facets are sets of values that each method has, such as its family. Of each facet that anything is chosen of, a
// variant that is shown has one of the chosen values.
const facets = new Map();
const valuesOf = new Map();
const variants = new Set();

function filtering() {
  return [...facets.keys()].some(name => chosen.has(name));
}

function isShown(variant) {
  const values = valuesOf.get(variant);
  return !values || [...facets.keys()].every(name =>
    !chosen.has(name) || chosen.getAll(name).some(value => values[name].includes(value)));
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
