// The search page: finds sections by their words, in BOOK (search_texts.js), and names
// of the reference in Sphinx's own index. It needs no network and no server.
"use strict";

// A chapter that the glossary names for what was asked comes first (term).
const WEIGHT = { chapter: 1, other: 0.35, heading: 2, title: 1.5, term: 6, aside: 0.5 };
const ASIDE = /^(exercises|further reading|where the sources)/i;
const A_PAGE = 2;
const AT_MOST = 24;
const NAMES = 8;

const wordsOf = (text) =>
  (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []).map((word) =>
    word.length > 3 ? word.replace(/s$/, "") : word
  );

const SECTIONS = BOOK.flatMap((page) =>
  page.sections.map(([anchor, heading, text]) => ({
    page, anchor, heading, text,
    words: wordsOf(text),
    head: new Set(wordsOf(heading)),
  }))
);

const TERMS = BOOK.flatMap((page) =>
  page.terms.map(([names, said, target]) => ({ names, said, target, from: page.url }))
);

function termOf(query) {
  const wanted = wordsOf(query).join(" ");
  return TERMS.find(({ names }) => names.some((name) => wordsOf(name).join(" ") === wanted));
}

// How much a section says about all of the words; 0 where one of them is missing.
function weight(section, words) {
  let sum = 0;
  for (const word of words) {
    const count = section.words.filter((other) => other === word).length;
    const begun = word.length > 3
      ? section.words.filter((other) => other !== word && other.startsWith(word)).length
      : 0;
    const often = count + begun / 2;
    const named = section.head.has(word);
    if (!often && !named) return 0;
    const rare = often / (often + 1 + section.words.length / 400);
    sum += rare + (named ? WEIGHT.heading : 0)
      + (wordsOf(section.page.title).includes(word) ? WEIGHT.title : 0);
  }
  return sum / words.length;
}

function find(query) {
  const term = termOf(query);
  const ways = term ? [query, ...term.names] : [query];
  const home = term && new URL(term.target, new URL(term.from, "file:///")).pathname;
  const best = SECTIONS.map((section) => {
    let value = Math.max(...ways.map((way) => weight(section, wordsOf(way))));
    value *= section.page.chapter ? WEIGHT.chapter : WEIGHT.other;
    if (ASIDE.test(section.heading)) value *= WEIGHT.aside;
    if (home === `/${section.page.url}`) value *= WEIGHT.term;
    return { section, value, ways };
  }).filter(({ value }) => value > 0);
  best.sort((one, other) => other.value - one.value);
  const seen = new Map();
  return best
    .filter(({ section }) => {
      const before = seen.get(section.page) || 0;
      seen.set(section.page, before + 1);
      return before < A_PAGE;
    })
    .slice(0, AT_MOST);
}

// The place where the words of one way to ask stand together, or else the first of them.
function place(pieces, ways) {
  for (const way of ways) {
    const words = wordsOf(way);
    for (let at = 0; at < pieces.length; at++) {
      const near = wordsOf(pieces.slice(at, at + words.length + 1).join(" "));
      if (words.every((word) => near.includes(word))) return { at, words };
    }
  }
  const words = ways.flatMap(wordsOf);
  const at = pieces.findIndex((piece) => wordsOf(piece).some((word) => words.includes(word)));
  return { at: Math.max(0, at), words };
}

// Some words before and after that place, with those that were asked for marked.
function excerpt(text, ways) {
  const pieces = text.split(" ");
  const { at, words } = place(pieces, ways);
  const from = Math.max(0, at - 12);
  const until = from + 36;
  const paragraph = document.createElement("p");
  paragraph.className = "context";
  if (from > 0) paragraph.append("… ");
  for (const piece of pieces.slice(from, until)) {
    if (wordsOf(piece).some((word) => words.includes(word))) {
      const mark = document.createElement("mark");
      mark.textContent = piece;
      paragraph.append(mark, " ");
    } else {
      paragraph.append(`${piece} `);
    }
  }
  if (until < pieces.length) paragraph.append("…");
  return paragraph;
}

function item(address, title, ...more) {
  const line = document.createElement("li");
  const link = document.createElement("a");
  link.href = address;
  link.textContent = title;
  line.append(link, ...more);
  return line;
}

function definition(term) {
  const box = document.createElement("p");
  box.className = "search-term";
  const name = document.createElement("b");
  name.textContent = term.names.join(", ");
  box.append(name, ": ", term.said);
  return box;
}

function names(query) {
  const asked = query.toLowerCase().trim();
  const score = 4;
  return Search.performObjectSearch(asked, new Set([asked]))
    .sort((one, other) => other[score] - one[score])
    .slice(0, NAMES)
    .map(([, name, anchor, , , file]) =>
      item(file.replace(/\.(md|rst|ipynb)$/, ".html") + anchor, name));
}

const counted = (count, noun) => count && `${count} ${noun}${count > 1 ? "s" : ""}`;

function show(query) {
  const results = find(query);
  const named = names(query);
  const term = termOf(query);
  Search.stopPulse();
  Search.title.textContent = "Search results";
  const found = [counted(results.length, "section"), counted(named.length, "name")];
  Search.status.textContent = results.length + named.length
    ? `${found.filter(Boolean).join(" and ")} for “${query}”`
    : `Nothing in the book says “${query}”. Try fewer words, or another spelling.`;
  if (term) Search.output.before(definition(term));
  for (const { section, ways } of results) {
    const { page, anchor, heading, text } = section;
    const title = heading === page.title ? heading : `${page.title}: ${heading}`;
    Search.output.append(item(`${page.url}#${anchor}`, title, excerpt(text, ways)));
  }
  if (named.length) {
    const title = document.createElement("h3");
    title.textContent = "In the reference";
    const list = document.createElement("ul");
    list.className = "search";
    list.append(...named);
    Search.output.after(title, list);
  }
}

// Before Sphinx's own search starts, which waits for the same event.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search !== "undefined") Search.query = show;
});
