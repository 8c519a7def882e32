"use strict";
// Everything can be read without this: it filters, copies, and lets the reader choose light or dark.
for (const element of document.querySelectorAll(".filters, .copy, .theme")) element.hidden = false;

const status = document.querySelector(".status");

const FIRST = 24; // cards shown at first; the others come with "Show all"

for (const gallery of document.querySelectorAll(".gallery")) {
  const form = gallery.querySelector("form");
  const cards = [...gallery.querySelectorAll(".card")];
  const output = form.querySelector("output");
  const more = gallery.querySelector(".more");
  let whole = false;
  const show = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value !== "");
    const matching = cards.filter((card) => wanted.every(([name, value]) => card.dataset[name] === value));
    const shown = whole ? matching : matching.slice(0, FIRST);
    for (const card of cards) card.hidden = true;
    for (const card of shown) card.hidden = false;
    more.hidden = shown.length === matching.length;
    more.textContent = `Show all ${matching.length}`;
    const units = `${matching.length} unit${matching.length === 1 ? "" : "s"}`;
    output.textContent = more.hidden ? units : `${shown.length} of ${units}`;
  };
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields are back at their first values only after the event.
  form.addEventListener("reset", () => setTimeout(show));
  more.addEventListener("click", () => {
    const next = cards.filter((card) => !card.hidden).length;
    whole = true;
    show();
    // The button is gone: go on at the first unit that was hidden.
    const first = cards.filter((card) => !card.hidden)[next];
    if (first) {
      first.tabIndex = -1;
      first.focus();
    }
  });
  show();
}

const byHand = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  return document.execCommand("copy");
};

for (const button of document.querySelectorAll(".copy")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const element = document.getElementById(button.dataset.copy);
    let done = false;
    try {
      await navigator.clipboard.writeText(element.textContent);
      done = true;
    } catch {
      done = byHand(element);
    }
    status.textContent = done ? "Copied." : "Not copied: the browser does not allow it. The text is selected.";
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = label; status.textContent = ""; }, 2000);
  });
}

const theme = document.getElementById("theme");
const choose = (value) => {
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
};
theme.addEventListener("change", () => choose(theme.value));
choose(theme.value); // a browser may keep what was chosen when the page is loaded again
