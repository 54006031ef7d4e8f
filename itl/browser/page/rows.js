// A long list: only visible rows are in the page, and one row has the focus.

export const ROW = 26;                                  // pixels; the same in browser.css
const MARGIN = 6;                                       // rows kept ready above and below

// fill(row, key, index) fills a row; it is called again for visible rows whenever they change.
export class Rows {
  constructor(viewport, fill) {
    this.viewport = viewport;
    this.fill = fill;
    this.keys = [];
    this.index = new Map();
    this.shown = new Map();
    this.active = null;
    this.canvas = element("div", { class: "canvas", role: "presentation" });
    viewport.append(this.canvas);
    viewport.addEventListener("scroll", () => this.draw(false));
  }

  set(keys) {
    this.keys = keys;
    this.index = new Map(keys.map((key, index) => [key, index]));
    if (!this.index.has(this.active)) this.active = keys[0] ?? null;
    this.canvas.style.height = `${keys.length * ROW}px`;
    this.draw(true);
  }

  // Add and remove rows as the list scrolls; refill: fill the rows again that are in the page already.
  draw(refill) {
    const height = this.viewport.clientHeight || 420;   // not laid out yet
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / ROW) - MARGIN);
    const last = Math.min(this.keys.length, Math.ceil((this.viewport.scrollTop + height) / ROW) + MARGIN);
    const wanted = new Set(this.keys.slice(first, last));
    if (this.active !== null) wanted.add(this.active);  // it may be far away, but must keep the focus
    for (const [key, row] of this.shown) {
      if (wanted.has(key)) continue;
      row.remove();
      this.shown.delete(key);
    }
    for (const key of wanted) {
      const old = this.shown.get(key);
      if (old && !refill) continue;
      const row = old ?? element("div", { [KEEPS_KEYS]: "true" });
      this.fill(row, key, this.index.get(key));
      row.style.top = `${this.index.get(key) * ROW}px`;
      row.tabIndex = key === this.active ? 0 : -1;
      if (!old) this.canvas.append(row);
      this.shown.set(key, row);
    }
  }

  // Give the row of key the focus, and scroll just so far that it is visible.
  activate(key, focus = true) {
    if (!this.index.has(key)) return;
    this.active = key;
    const top = this.index.get(key) * ROW;
    const height = this.viewport.clientHeight;
    if (top < this.viewport.scrollTop) this.viewport.scrollTop = top;
    if (top + ROW > this.viewport.scrollTop + height) this.viewport.scrollTop = top + ROW - height;
    this.draw(true);
    if (focus) this.shown.get(key).focus({ preventScroll: true });
  }

  // The key so many rows below the active one.
  away(steps) {
    const index = this.index.get(this.active) + steps;
    return this.keys[Math.min(this.keys.length - 1, Math.max(0, index))];
  }

  get page() {
    return Math.max(1, Math.floor(this.viewport.clientHeight / ROW) - 1);
  }
}

// JupyterLab applies keys such as d or x to the cell, unless the element with the focus has this attribute.
export const KEEPS_KEYS = "data-lm-suppress-shortcuts";
const FOCUSABLE = ["button", "input", "select", "pre"];

// Make an element; content is added as text, so that no name or gloss can be markup.
export function element(tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  if (FOCUSABLE.includes(tag)) made.setAttribute(KEEPS_KEYS, "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...content);
  return made;
}

export const number = (count) => count.toLocaleString("en");

export const some = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;

// Hand the reader a file with this text.
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  element("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
