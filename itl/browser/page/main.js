// The browser: the kernel's model in, the page out. Asks the kernel for images, for what a choice comes to,
// and to save; all else is done here.
import { Choice, tally } from "./choice.js";
import { palette } from "./colours.js";
import { CutPanel, ImagesPane, SelectionPanel } from "./panels.js";
import { element, number, some } from "./rows.js";
import { Tree } from "./tree.js";
import { TreeView } from "./treeview.js";

const NOTHING = {
  base: "original", nodes: [], pascal: true, half: "", unticked: [], classes: null, images_per_class: null, seed: 0,
};

export class Browser {
  constructor(model) {
    this.model = model;
    this.tree = new Tree(model.get("_columns"));
    this.cuts = model.get("_rounds");
    this.view = new TreeView(this.tree, {
      choose: (at) => this.chosen(at),
      toggle: (at) => this.change((choice) => choice.toggle(at)),
      cut: (at) => this.change((choice) => choice.cutAt(at)),
      opened: (places) => this.send({ _opened: places.map((at) => this.tree.wnid[at]).sort() }),
    });
    this.cut = new CutPanel(this.tree, this.cuts.length, (base) => this.change((choice) => (choice.base = base)));
    this.selection = new SelectionPanel(
      (fields) => this.change((choice) => Object.assign(choice, fields)),
      (what, told) => {
        if (what === "clear") this.change(() => this.begin(NOTHING));
        else this.model.send({ kind: what, choice: this.choice.told(), ...told });  // it may overtake a click
      });
    this.panes = [];
    this.build();
    this.handlers = {
      "change:_choice": () => this.read(),
      "change:_summary": () => this.refresh(),
      "change:_colours": () => this.coloured(),
      "change:_opened": () => this.opened(),
      "change:_shown": () => this.shown(),
      "msg:custom": (told, buffers) => this.told(told, buffers),
    };
    for (const [event, handler] of Object.entries(this.handlers)) model.on(event, handler);
    this.coloured();
    this.begin(model.get("_choice"));
    this.opened();
    this.refresh();
    this.shown();
  }

  build() {
    this.query = element("input", {
      type: "search", class: "query", placeholder: "Search names, words, glosses, wnids",
      "aria-label": "search the tree", spellcheck: "false", oninput: () => this.searched(),
      onkeydown: (event) => this.leaveSearch(event),
    });
    this.found = element("span", { class: "found", role: "status" });
    this.heads = element("div", { class: "heads", "aria-hidden": "true" });
    this.legend = element("div", { class: "legend hidden" });
    this.about = element("section", { class: "about hidden" });
    this.images = element("div", { class: "panes" });
    this.root = element("div", { class: "itl-browser" },
      element("div", { class: "body" },
        element("div", { class: "left" },
          element("div", { class: "top" }, this.query, this.found),
          this.heads, this.view.viewport, this.legend),
        element("div", { class: "side" }, this.cut.root, this.selection.root)),
      this.about, this.images);
  }

  // Change the choice here at once, and tell the kernel, which answers with what it comes to.
  change(what) {
    what(this.choice);
    this.asked = (this.model.get("_asked") ?? 0) + 1;
    this.send({ _choice: this.choice.told(), _asked: this.asked });
    this.refresh();
  }

  // What is sent from here is here already: the model's echo of it is not to be acted on. What one event
  // changes goes as one message.
  send(fields) {
    this.sending = true;
    for (const [name, value] of Object.entries(fields)) this.model.set(name, value);
    this.sending = false;
    this.saving ??= setTimeout(() => {
      this.saving = null;
      this.model.save_changes();
    });
  }

  begin(told) {
    this.choice = new Choice(this.tree, told, this.cuts);
  }

  read() {
    if (this.sending) return;
    this.begin(this.model.get("_choice"));
    this.refresh();
  }

  refresh() {
    const { tree, choice, view } = this;
    const summary = this.model.get("_summary");
    const waiting = (summary.asked ?? 0) !== this.model.get("_asked");
    const dropped = new Set();
    if (!choice.pascal) for (const at of this.model.get("_pascal")) dropped.add(at);
    if ((choice.half || choice.classes !== null) && !waiting) for (const at of summary.dropped) dropped.add(at);
    const kept = choice.kept(dropped);
    const sizes = tally(tree, kept);
    view.look.states = choice.states();
    view.look.sizes = new Map(sizes.map((one) => [one[0], one]));
    view.look.alive = this.alive(kept);
    view.look.most = choice.images_per_class ?? Infinity;
    view.refresh();
    this.kept = kept;
    if (view.chosen >= 0) this.describe(view.chosen);
    this.cut.show(choice.base, sizes);
    const images = sizes.map((one) => Math.min(one[2], view.look.most));
    const leaves = sizes.map((one) => one[1]).sort((a, b) => b - a);
    this.cut.draw(tree.counted ? images : leaves, tree.counted ? "images" : "leaves");
    this.selection.show(choice, summary, waiting);
  }

  // Every node that has, by any path, a class that is kept.
  alive(kept) {
    const found = new Uint8Array(this.tree.size);
    const seen = new Int32Array(this.tree.size).fill(-1);
    for (const at of kept.keys()) this.tree.eachAbove(at, seen, (above) => (found[above] = 1));
    return found;
  }

  searched() {
    const text = this.query.value;
    if (!text.trim()) {
      this.view.query = "";
      this.view.refresh();
      this.found.textContent = "";
    } else {
      this.found.textContent = some(this.view.find(text), "hit");
    }
  }

  leaveSearch(event) {
    event.stopPropagation();
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      const { rows } = this.view;
      if (event.key === "Enter" && this.query.value.trim() && rows.keys.length) this.view.reveal(rows.keys[0]);
      else rows.activate(rows.active ?? rows.keys[0]);
    }
    if (event.key === "Escape") {
      this.query.value = "";
      this.searched();
    }
  }

  chosen(at) {
    if (this.view.query === "") {
      this.query.value = "";
      this.found.textContent = "";
    }
    this.send({ _shown: this.tree.wnid[at] });
    this.describe(at);
    if (!this.panes[0]) this.addPane();
    this.panes[0].show(at);
  }

  // The kernel, or another view, shows a node; a view does so when it is made.
  shown() {
    if (this.sending) return;
    const at = this.tree.place.get(this.model.get("_shown"));
    if (at !== undefined && at !== this.view.chosen) this.view.reveal(at, false);
  }

  opened() {
    if (this.sending) return;
    const places = this.model.get("_opened").map((wnid) => this.tree.place.get(wnid));
    this.view.open = new Set(places.filter((at) => at !== undefined));
    this.view.refresh();
  }

  describe(at) {
    const { tree } = this;
    const link = (above) => element("button", {
      type: "button", class: "link", onclick: () => this.view.reveal(above),
    }, tree.name[above]);
    const path = tree.path(at).slice(0, -1).flatMap((above) => [link(above), " › "]);
    const others = tree.hypernyms[at].slice(1).flatMap((above) => [link(above), " "]);
    const under = this.kept.get(at);
    const words = tree.words[at].join(", ").replaceAll("_", " ");
    let trained = "";
    if (tree.labelled[at] && under === undefined) trained = "Left out.";
    else if (under !== undefined) trained = under === at ? "A class of its own." : `Learned as ${tree.name[under]}.`;
    this.about.replaceChildren(
      element("h3", {}, tree.name[at], " ", element("code", {}, tree.wnid[at])),
      element("p", { class: "path" }, ...path, element("b", {}, tree.name[at])),
      ...(others.length ? [element("p", { class: "others" }, "↑ also under ", ...others)] : []),
      element("p", {}, tree.gloss[at],
        element("span", { class: "words" }, ` (${words}) ${trained}`)));
    this.about.classList.remove("hidden");
  }

  addPane() {
    const nth = this.panes.length;
    const button = nth
      ? element("button", { type: "button", onclick: () => this.removePane() }, "Close")
      : element("button", { type: "button", onclick: () => this.keepBeside() }, "Keep beside");
    const pane = new ImagesPane(this.tree, nth, (told) => this.model.send({ kind: "images", ...told }), [button]);
    this.panes.push(pane);
    this.images.append(pane.root);
    return pane;
  }

  // Show the first pane's images in the second too, where they stay while others are chosen.
  keepBeside() {
    const [first] = this.panes;
    const second = this.panes[1] ?? this.addPane();
    second.seed.value = first.seed.value;
    second.show(first.at, first.page);
  }

  removePane() {
    const pane = this.panes.pop();
    pane.clear();
    pane.root.remove();
  }

  told(told, buffers) {
    if (told.kind === "images") this.panes[told.pane]?.receive(told, buffers);
    if (told.kind === "trouble" && told.about === "images") this.panes[told.pane]?.say(told.text);
    if (told.kind === "saved" || (told.kind === "trouble" && told.about === "save")) this.selection.say(told.text);
  }

  coloured() {
    const told = this.model.get("_colours");
    const colours = told.values ? palette(this.tree, told) : null;
    this.view.look.colours = colours;
    this.root.classList.toggle("coloured", Boolean(colours));
    this.legend.classList.toggle("hidden", !colours);
    this.legend.replaceChildren(...(colours ? colours.legend() : []));
    const head = (name, text) => element("span", { class: name }, text);
    this.heads.replaceChildren(head("first", "synset"), ...(colours ? [head("colour", colours.unit)] : []),
      head("count", "classes"), head("count", this.tree.counted ? "images" : ""));
    if (this.choice) this.view.refresh();
  }

  // What stood before the first layout is drawn again with the room that there really is.
  placed() {
    this.view.rows.draw(false);
    this.resize = new ResizeObserver(() => this.view.rows.draw(false));
    this.resize.observe(this.view.viewport);
    requestAnimationFrame(() => setTimeout(() => {
      performance.mark("itl:painted");
      setTimeout(() => this.view.search, 20);           // ready before anyone can have typed a letter
    }));
  }

  remove() {
    for (const [event, handler] of Object.entries(this.handlers)) this.model.off(event, handler);
    this.resize?.disconnect();
    for (const pane of this.panes) pane.clear();
  }
}

export default {
  render({ model, el }) {
    const browser = new Browser(model);
    el.append(browser.root);
    browser.placed();
    return () => browser.remove();
  },
};
