// Run inside an open page of the book by check_pages.py: returns what is wrong
// with it as a list of sentences, and the figures that it shows. arguments: the width of the window, a callback.
const width = arguments[0];
const done = arguments[arguments.length - 1];

const RAW_TEX = [
  /\\[()[\]]/,                                    // \( \) \[ \] left as they are
  /\$\$|\$[^$\s][^$\n]{0,80}\$/,                  // dollars
  /\\(frac|begin|end|sum|mathbf|mathbb|operatorname|text|left|right)\b/,
  /\{(ref|eq|cite|numref|math|doc|glue:text|term)\}`/,  // a role left as it is
];
const NOT_PROSE = "pre, code, script, style, textarea, mjx-container, template, svg";

function named(element) {
  const id = element.id ? `#${element.id}` : "";
  const kind = [...element.classList].slice(0, 2).map((name) => `.${name}`).join("");
  return element.tagName.toLowerCase() + id + kind;
}

function rawMarkup() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faults = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.textContent.trim() || node.parentElement.closest(NOT_PROSE)) continue;
    if (RAW_TEX.some((pattern) => pattern.test(node.textContent))) {
      faults.push(`raw TeX or markup: "${node.textContent.trim().slice(0, 70)}"`);
    }
  }
  return faults;
}

function mathsErrors() {
  const wrong = document.querySelectorAll('mjx-merror, [data-mml-node="merror"]');
  return [...wrong].map((node) => {
    const why = node.getAttribute("data-mjx-error") || node.textContent;
    return `maths error: ${why.slice(0, 90)}`;
  });
}

function unsetMaths() {
  const waiting = [...document.querySelectorAll(".math")].filter(
    (node) => !node.querySelector("mjx-container")
  );
  return waiting.length ? [`${waiting.length} formulas were not set by MathJax`] : [];
}

async function images() {
  const faults = [];
  for (const image of document.images) {
    image.loading = "eager";
    await image.decode().catch(() => {});
    const source = (image.getAttribute("src") || "").slice(-60);
    if (!image.naturalWidth) faults.push(`broken image: ${source}`);
    const alt = (image.getAttribute("alt") || "").trim();
    if (!alt || /[\\/]|\.(png|svg|jpe?g|gif)$/.test(alt.split(" ")[0])) {
      faults.push(`image without alt text: ${source}`);
    }
  }
  return faults;
}

// Only the letters' size needs the page; the rest is read in the files by Python.
function figures() {
  return [...document.querySelectorAll(".bd-article img")]
    .filter((image) => image.getAttribute("src").endsWith(".svg"))
    .map((image) => ({
      file: image.getAttribute("src"),
      alt: image.alt,
      width: image.getBoundingClientRect().width,
    }))
    .filter(({ width }) => width > 0);
}

// A caption that the style sheet hides is words that a figure was given for nobody.
function hiddenCaptions() {
  const captions = [...document.querySelectorAll("figcaption, table > caption")];
  return captions
    .filter((caption) => !caption.closest("details") && !caption.getClientRects().length)
    .map((caption) => `hidden caption: "${caption.textContent.trim().slice(0, 60)}"`);
}

function duplicateIds() {
  const seen = new Map();
  for (const { id } of document.querySelectorAll("[id]")) {
    seen.set(id, (seen.get(id) || 0) + 1);
  }
  return [...seen]
    .filter(([, count]) => count > 1)
    .map(([id, count]) => `id "${id}" occurs ${count} times`);
}

function scrollsInItsOwnBox(element) {
  for (let box = element; box && box !== document.body; box = box.parentElement) {
    const style = getComputedStyle(box);
    if (style.overflowX !== "visible" || style.position === "fixed") return true;
  }
  return false;
}

function sidewaysScroll() {
  const page = document.documentElement;
  if (page.scrollWidth <= width + 1) return [];
  const wide = [...document.body.querySelectorAll("*")].filter(
    (element) =>
      element.getBoundingClientRect().right > width + 1 && !scrollsInItsOwnBox(element)
  );
  const culprits = [...new Set(wide.map(named))].slice(-3).join(", ");
  return [`scrolls sideways, ${page.scrollWidth} px wide: ${culprits}`];
}

// A box that hides what is too wide for it hides it for good.
function cutOff() {
  const boxes = document.querySelectorAll("article *, .bd-article *");
  const cutting = [...boxes].filter((box) => {
    const { overflowX, display } = getComputedStyle(box);
    const hides = overflowX === "hidden" || overflowX === "clip";
    return hides && display !== "inline" && box.clientWidth > 2
      && box.scrollWidth > box.clientWidth + 2 && !box.closest("mjx-container");
  });
  return [...new Set(cutting.map(named))].map((box) => `cuts off what it holds: ${box}`);
}

// What is wider than its box scrolls in it, which the edge has to show. Listings fit
// where there is room, and a formula in a sentence fits a phone.
function wideBoxes() {
  const faults = [];
  for (const box of document.querySelectorAll(".bd-article *")) {
    const style = getComputedStyle(box);
    if (!["auto", "scroll"].includes(style.overflowX) || box.closest("mjx-container")) continue;
    if (box.matches("span.math")) {
      const drawn = box.querySelector("svg")?.getBoundingClientRect().width || 0;
      const room = box.getBoundingClientRect().width;
      if (box.offsetHeight - box.clientHeight > 3) {
        faults.push("a scroll bar hangs under a formula in a sentence");
      }
      if (drawn > room + 2) faults.push("a formula in a sentence is wider than the page");
    } else if (box.scrollWidth > box.clientWidth + 2 && box.clientWidth > 2) {
      if (!style.backgroundImage.includes("gradient")) {
        faults.push(`wider than its box, and nothing shows it: ${named(box)}`);
      } else if (width > 1000 && box.matches("pre")) {
        const line = box.textContent.trim().slice(0, 40).replace(/\s+/g, " ");
        faults.push(`a listing is wider than its box: "${line}"`);
      }
    }
  }
  return [...new Set(faults)];
}

function luminance([red, green, blue]) {
  const linear = [red, green, blue].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

// What a colour of the style sheet is in the end, as red, green, blue and opacity.
const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function channels(color) {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = color;
  paint.fillRect(0, 0, 1, 1);
  return [...paint.getImageData(0, 0, 1, 1).data];
}

function paperUnder(element) {
  for (let box = element; box; box = box.parentElement) {
    const color = channels(getComputedStyle(box).backgroundColor);
    if (color[3] > 200) return color;
  }
  return [255, 255, 255, 255];
}

// Letters that stand out from what is under them: 4.5 to 1, as WCAG asks.
function paleLetters() {
  const seen = new Map();
  const article = document.querySelector(".bd-article");
  if (!article) return [];  // the page of the search is the theme's
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest("mjx-container, .headerlink, .copybtn, script, style")) continue;
    const key = `${element.tagName} ${element.className} ${getComputedStyle(element).color}`;
    if (!seen.has(key)) seen.set(key, element);
  }
  return [...seen.values()].flatMap((element) => {
    const [one, other] = [channels(getComputedStyle(element).color), paperUnder(element)]
      .map(luminance).sort((low, high) => low - high);
    const ratio = (other + 0.05) / (one + 0.05);
    const word = element.textContent.trim().slice(0, 20);
    return ratio < 4.5 ? [`pale letters, ${ratio.toFixed(1)} to 1: ${named(element)} "${word}"`] : [];
  });
}

async function faults() {
  const typeset = window.MathJax && window.MathJax.startup;
  if (typeset) await typeset.promise;
  const said = [
    ...rawMarkup(),
    ...mathsErrors(),
    ...unsetMaths(),
    ...(await images()),
    ...hiddenCaptions(),
    ...duplicateIds(),
    ...sidewaysScroll(),
    ...cutOff(),
    ...wideBoxes(),
    ...paleLetters(),
  ];
  return { said, figures: figures() };
}

faults().then(done, (error) => done({ said: [`the check itself failed: ${error}`], figures: [] }));
