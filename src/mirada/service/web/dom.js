// Elements of the page. Text goes in as text, never as markup: what a label or a file name holds can't become an element.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`class` and `data` among them; others with a dash or role are attributes) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A table that scrolls sideways in itself, never the page; `numbers` says which columns hold figures. */
export function table(head, rows, label) {
  const cells = (row, tag) =>
    row.map((cell, column) => make(column === 0 && tag === "td" ? "th" : tag, scope(column, tag), cell));
  const scope = (column, tag) => (tag === "th" ? { scope: "col" } : column === 0 ? { scope: "row" } : {});
  return make(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabIndex: 0 },
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...cells(head, "th"))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row, "td")))),
    ),
  );
}

/** Say something to whoever listens instead of looking. */
export function say(text) {
  byId("live").textContent = text;
}
