// The tree in the page, by WAI-ARIA's tree pattern: arrows, Home and End, one row that the Tab key reaches.
import { ROW, Rows, element, number, some } from "./rows.js";
import { Search } from "./tree.js";

const CHECKED = ["false", "mixed", "true"];
const BOX = ["☐", "◪", "☑"];

// events: choose(at), toggle(at), cut(at), opened(nodes)
export class TreeView {
  constructor(tree, events) {
    this.tree = tree;
    this.events = events;
    this.open = new Set();
    this.everything = !tree.counted;                    // else nodes without images are hidden
    this.chosen = -1;
    this.query = "";
    this.hits = [];
    this.look = { states: null, sizes: new Map(), most: Infinity, alive: null, colours: null };
    this.viewport = element("div", { class: "viewport", role: "tree", "aria-label": "tree of classes" });
    this.rows = new Rows(this.viewport, (row, key, index) => this.dress(row, key, index));
    this.viewport.addEventListener("click", (event) => this.clicked(event));
    this.viewport.addEventListener("keydown", (event) => this.pressed(event));
  }

  // Made when first needed, or when the page is idle: searching must not delay the first paint.
  get search() {
    this.index ??= new Search(this.tree);
    return this.index;
  }

  refresh() {
    this.viewport.setAttribute("role", this.query ? "listbox" : "tree");
    this.viewport.classList.toggle("hits", Boolean(this.query));
    this.rows.set(this.query ? this.hits : this.inOrder());
  }

  // Those of nodes that are not hidden.
  visible(nodes) {
    return this.everything ? nodes : nodes.filter((at) => this.tree.classesUnder[at] > 0);
  }

  below(at) {
    return this.visible(this.tree.children[at]);
  }

  // All nodes that are to be seen: the roots, and what is below each open one.
  inOrder() {
    const listed = [];
    const waiting = [...this.visible(this.tree.roots)].reverse();
    while (waiting.length) {
      const at = waiting.pop();
      listed.push(at);
      if (this.open.has(at)) waiting.push(...[...this.below(at)].reverse());
    }
    return listed;
  }

  find(text) {
    this.query = text;
    this.hits = this.visible(this.search.find(text));
    this.viewport.scrollTop = 0;
    this.rows.active = null;
    this.refresh();
    return this.hits.length;
  }

  setOpen(at, open) {
    if (!this.below(at).length) return;
    open ? this.open.add(at) : this.open.delete(at);
    this.refresh();
    this.events.opened([...this.open]);
  }

  // Leave the search, open all above the node and go there.
  reveal(at, focus = true) {
    this.query = "";
    if (!this.visible([at]).length) this.everything = true;
    for (const above of this.tree.path(at).slice(0, -1)) this.open.add(above);
    this.refresh();
    const middle = this.rows.index.get(at) * ROW - this.viewport.clientHeight / 2;
    this.viewport.scrollTop = Math.max(0, middle);
    this.choose(at, focus);
    this.events.opened([...this.open]);
  }

  choose(at, focus = true) {
    this.chosen = at;
    this.rows.activate(at, focus);
    this.rows.draw(true);
    this.events.choose(at);
  }

  dress(row, at, index) {
    const { tree, look } = this;
    const hit = Boolean(this.query);
    const size = look.sizes.get(at);
    const state = look.states ? look.states[at] : 2;
    row.dataset.at = at;
    row.className = "row";
    row.classList.toggle("class", size !== undefined);
    row.classList.toggle("gone", this.isGone(at));
    row.setAttribute("role", hit ? "option" : "treeitem");
    row.setAttribute("aria-selected", String(at === this.chosen));
    row.setAttribute("aria-checked", CHECKED[state]);
    const open = this.open.has(at);
    const leaf = !this.below(at).length;
    const parents = tree.hypernyms[at].length;
    const said = hit ? this.trail(at) : tree.gloss[at];
    if (hit) {
      for (const name of ["aria-level", "aria-expanded"]) row.removeAttribute(name);
      row.setAttribute("aria-posinset", index + 1);
      row.setAttribute("aria-setsize", this.hits.length);
    } else {
      const beside = tree.parent[at] < 0 ? this.visible(tree.roots) : this.below(tree.parent[at]);
      row.setAttribute("aria-level", tree.depth[at] + 1);
      row.setAttribute("aria-posinset", beside.indexOf(at) + 1);
      row.setAttribute("aria-setsize", beside.length);
      leaf ? row.removeAttribute("aria-expanded") : row.setAttribute("aria-expanded", String(open));
    }
    row.setAttribute("aria-label", this.spoken(at, size));
    row.replaceChildren(
      element("span", { class: "first", style: `--depth:${hit ? 0 : Math.min(tree.depth[at], 24)}` },
        element("span", { class: "twisty", "data-do": "open" }, hit || leaf ? "" : open ? "▾" : "▸"),
        element("span", {
          class: `box state${state}`, "data-do": "tick", title: "tick or untick all below (Space)",
        }, BOX[state]),
        element("span", {
          class: "mark", "data-do": "cut",
          title: size
            ? `a class of ${some(size[1], "leaf", "leaves")}; click, and they join the class above or are left out (c)`
            : "make this a class of all below it (c)",
        }, tree.labelledBelow[at] ? (size ? "◆" : "◇") : ""),
        element("span", { class: "name" }, tree.name[at]),
        parents > 1 ? element("span", { class: "several", title: `has ${parents} parents` }, `↑${parents}`) : "",
        element("span", { class: "gloss", title: said }, said)),
      this.colour(at),
      element("span", { class: "count" }, number(tree.classesUnder[at])),
      this.images(at, size),
    );
  }

  // The path of a hit, the nearest first: a narrow row cuts off the far end.
  trail(at) {
    return this.tree.path(at).slice(0, -1).reverse().map((above) => this.tree.name[above]).join(" ‹ ");
  }

  // Of a class the images it is learned from, of any other node all that there are.
  images(at, size) {
    if (!this.tree.counted) return element("span", { class: "count" });
    const below = number(this.tree.imagesUnder[at]);
    if (!size) return element("span", { class: "count" }, below);
    return element("span", { class: "count", title: `${below} below` }, number(Math.min(size[2], this.look.most)));
  }

  // Whether nothing below the node, by any path, is left to learn from.
  isGone(at) {
    return this.look.alive !== null && !this.look.alive[at];
  }

  spoken(at, size) {
    const { tree, look } = this;
    const parts = [tree.name[at], some(tree.classesUnder[at], "class", "classes")];
    if (tree.counted) parts.push(some(tree.imagesUnder[at], "image"));
    if (size) parts.push(`a class of ${some(size[1], "original class", "original classes")}`);
    if (size && tree.counted) parts.push(`learned from ${some(Math.min(size[2], this.look.most), "image")}`);
    if (tree.hypernyms[at].length > 1) parts.push(`${tree.hypernyms[at].length} parents`);
    if (this.isGone(at)) parts.push("left out");
    const { colours } = look;
    if (colours && at in colours.values) parts.push(`${colours.say(colours.values[at])} ${colours.unit}`, colours.about(at));
    return parts.filter(Boolean).join(", ");
  }

  colour(at) {
    const { colours } = this.look;
    if (!colours) return "";
    const value = colours.values[at];
    if (value === undefined) return element("span", { class: "colour" });
    const cell = element("span", { class: "colour", title: colours.about(at) }, colours.say(value));
    cell.style.background = colours.paint(value, at);
    cell.style.color = colours.ink(value, at);
    return cell;
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const at = Number(row.dataset.at);
    const what = event.target.dataset.do;
    if (what === "tick") return this.rows.activate(at), this.events.toggle(at);
    if (what === "cut" && this.tree.labelledBelow[at]) return this.rows.activate(at), this.events.cut(at);
    if (this.query) return this.reveal(at);
    if (what === "open") {
      this.rows.activate(at);
      return this.setOpen(at, !this.open.has(at));
    }
    this.choose(at);
  }

  pressed(event) {
    const at = this.rows.active;
    if (at === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const { tree, rows } = this;
    const hit = Boolean(this.query);
    const goes = {
      ArrowDown: () => rows.activate(rows.away(1)),
      ArrowUp: () => rows.activate(rows.away(-1)),
      PageDown: () => rows.activate(rows.away(rows.page)),
      PageUp: () => rows.activate(rows.away(-rows.page)),
      Home: () => rows.activate(rows.keys[0]),
      End: () => rows.activate(rows.keys.at(-1)),
      Enter: () => (hit ? this.reveal(at) : this.choose(at)),
      " ": () => this.events.toggle(at),
      c: () => tree.labelledBelow[at] && this.events.cut(at),
      "*": () => hit || this.visible(tree.children[tree.parent[at]] ?? tree.roots).forEach((each) => this.setOpen(each, true)),
      ArrowRight: () => {
        if (hit || !this.below(at).length) return;
        this.open.has(at) ? rows.activate(this.below(at)[0]) : this.setOpen(at, true);
      },
      ArrowLeft: () => {
        if (hit) return;
        if (this.open.has(at)) this.setOpen(at, false);
        else if (tree.parent[at] >= 0) rows.activate(tree.parent[at]);
      },
    };
    const go = goes[event.key];
    if (!go) return;
    go();
    event.preventDefault();
    event.stopPropagation();
  }
}
