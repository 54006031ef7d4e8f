// The browser: the kernel's model in, the page out. The kernel sends images, counts what a choice keeps, and
// saves presets; everything else is done here. Without a kernel there are no images and no presets.
import { Choice, UNTOUCHED, tally } from "./choice.js";
import { palette } from "./colours.js";
import { AboutPanel, CutPanel, ImagesPane, SelectionPanel } from "./panels.js";
import { download, element, some } from "./rows.js";
import { Tree } from "./tree.js";
import { TreeView } from "./treeview.js";

export class Browser {
  constructor(model, hasKernel = true) {
    this.model = model;
    this.hasKernel = hasKernel;
    this.tree = new Tree(model.get("columns"));
    this.view = new TreeView(this.tree, {
      choose: (at) => this.chosen(at),
      toggle: (at) => this.change((choice) => choice.toggle(at)),
      cut: (at) => this.change((choice) => choice.cutAt(at)),
      opened: (nodes) => this.send({ opened: nodes.map((at) => this.tree.wnid[at]).sort() }),
    });
    this.past = [];  // the choices before this one, for undo
    this.cut = new CutPanel(this.tree, (base) =>
      this.change((choice) => (choice.base = base), base.split("@")[0]));
    this.selection = new SelectionPanel(
      (fields) => this.change((choice) => Object.assign(choice, fields)),
      (what, details) => {
        if (what === "clear") this.change(() => this.begin(UNTOUCHED));
        else if (what === "undo") this.undo();
        else if (what === "labels") this.downloadLabels();
        else if (this.isLive()) this.model.send({ kind: what, choice: this.choice.toDict(), ...details });  // it may overtake a click
      }, hasKernel, this.tree.counted);
    this.panes = [];
    const id = model.get("_own_id");
    if (id) model.widget_manager.get_model(id).then((own) => (this.own = own));  // it knows whether the kernel lives
    this.build();
    this.handlers = {
      "change:_choice": () => this.read(),
      "change:summary": () => this.refresh(),
      "change:colours": () => this.coloured(),
      "change:opened": () => this.opened(),
      "change:_shown": () => this.shown(),
      "msg:custom": (message, buffers) => this.receive(message, buffers),
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
    this.hits = element("span", { class: "found", role: "status" });
    const hidden = this.tree.counted ? this.tree.classesUnder.filter((classes) => !classes).length : 0;
    this.everything = element("button", {
      type: "button", class: hidden ? "everything" : "hidden", "aria-pressed": "false",
      onclick: () => this.showEverything(!this.view.everything),
    }, `Show ${some(hidden, "node")} without images`);
    this.heads = element("div", { class: "heads", "aria-hidden": "true" });
    this.legend = element("div", { class: "legend hidden" });
    this.about = new AboutPanel(this.tree, (at) => this.view.reveal(at));
    this.images = element("div", { class: "panes" });
    this.lost = element("p", { class: "lost", role: "alert" });
    this.root = element("div", { class: "itl-browser" }, this.lost,
      element("div", { class: "body" },
        element("div", { class: "left" },
          element("div", { class: "top" }, this.query, this.hits, this.everything),
          this.heads, this.view.viewport, this.legend),
        element("div", { class: "side" }, this.cut.root, this.selection.root)),
      this.about.root, this.images);
  }

  // Change the choice; a slider's steps in a row, which have one name, are undone together.
  change(what, name = "") {
    if (!this.isLive()) return this.refresh();
    if (!name || name !== this.lastChange) this.past.push(this.choice.toDict());
    this.lastChange = name;
    what(this.choice);
    this.changed();
  }

  undo() {
    if (!this.past.length || !this.isLive()) return;
    this.begin(this.past.pop());
    this.changed();
  }

  // Show the choice at once, and send it to the kernel, which answers with a summary.
  changed() {
    const revision = (this.model.get("_revision") ?? 0) + 1;
    this.send({ _choice: this.choice.toDict(), _revision: revision });
    this.selection.say("");  // what was saved or copied is another choice
    this.refresh();
  }

  // Whether a kernel still answers, or none is needed.
  isLive() {
    if (this.own?.comm_live !== false) return true;
    this.lost.textContent = "The kernel was restarted or has ended, so that nothing is done: run this cell again.";
    this.selection.say("");
    while (this.panes.length) this.removePane();
    return false;
  }

  // Changes made here are ignored when the model echoes them. All changes of one event are one message.
  send(fields) {
    if (!this.isLive()) return;
    this.sending = true;
    for (const [name, value] of Object.entries(fields)) this.model.set(name, value);
    this.sending = false;
    this.saving ??= setTimeout(() => {
      this.saving = null;
      this.model.save_changes();
    });
  }

  begin(fields) {
    this.choice = new Choice(this.tree, fields);
    this.lastChange = "";
  }

  read() {
    if (this.sending) return;
    this.past.push(this.choice.toDict());
    this.begin(this.model.get("_choice"));
    this.selection.say("");
    this.refresh();
  }

  refresh() {
    const { tree, choice, view } = this;
    const summary = this.model.get("summary");
    const waiting = (summary.revision ?? 0) !== this.model.get("_revision");
    const dropped = new Set(choice.pascal ? [] : tree.underPascal);
    if ((choice.half || choice.classes !== null) && !waiting) for (const at of summary.dropped) dropped.add(at);
    const kept = choice.kept(dropped);
    const sizes = tally(tree, kept);
    view.look.states = choice.states();
    view.look.sizes = new Map(sizes.map((one) => [one[0], one]));
    view.look.alive = this.alive(kept);
    view.look.most = choice.images_per_class ?? Infinity;
    view.refresh();
    this.kept = kept;
    if (view.chosen >= 0) this.about.show(view.chosen, kept);
    this.cut.show(choice.base, sizes);
    const images = sizes.map((one) => Math.min(one[2], view.look.most));
    const leaves = sizes.map((one) => one[1]).sort((a, b) => b - a);
    this.cut.draw(tree.counted ? images : leaves, tree.counted ? "images" : "leaves");
    this.selection.show(choice, summary, waiting, this.past.length > 0);
  }

  // Hand over the labels; where there is a problem, they may not be those of the choice.
  downloadLabels() {
    const { problem, outside } = this.model.get("summary");
    this.selection.say(problem ? "Not downloaded: what is said above comes first." : "");
    if (!problem) download("labels.csv", this.choice.labelsCsv(this.kept, outside));
  }

  // Every node that has, by any path, a class that is kept.
  alive(kept) {
    const alive = new Uint8Array(this.tree.size);
    const seen = new Int32Array(this.tree.size).fill(-1);
    for (const at of kept.keys()) this.tree.eachAbove(at, seen, (above) => (alive[above] = 1));
    return alive;
  }

  searched() {
    const text = this.query.value.trim();
    this.hits.textContent = text ? some(this.view.find(text), "hit") : "";
    if (text) return;
    this.view.query = "";
    this.view.refresh();
  }

  showEverything(everything) {
    this.view.everything = everything;
    this.everything.setAttribute("aria-pressed", String(everything));
    this.searched();
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
      this.hits.textContent = "";
    }
    this.send({ _shown: this.tree.wnid[at] });
    this.about.show(at, this.kept);
    this.everything.setAttribute("aria-pressed", String(this.view.everything));
    if (!this.hasKernel || !this.isLive()) return;
    if (!this.panes[0]) this.addPane();
    this.panes[0].show(at);
  }

  // The kernel, or another view, shows a node; a view does so when it is made.
  shown() {
    if (this.sending) return;
    const at = this.tree.number.get(this.model.get("_shown"));
    if (at !== undefined && at !== this.view.chosen) this.view.reveal(at, false);
  }

  opened() {
    if (this.sending) return;
    const nodes = this.model.get("opened").map((wnid) => this.tree.number.get(wnid));
    this.view.open = new Set(nodes.filter((at) => at !== undefined));
    this.view.refresh();
  }

  addPane() {
    const nth = this.panes.length;
    const button = nth
      ? element("button", { type: "button", onclick: () => this.removePane() }, "Close")
      : element("button", { type: "button", onclick: () => this.keepBeside() }, "Keep beside");
    const ask = (request) => this.isLive() && this.model.send({ kind: "images", ...request });
    const pane = new ImagesPane(this.tree, nth, ask, [button]);
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

  receive(message, buffers) {
    const { kind, about, pane, text } = message;
    if (kind === "images") this.panes[pane]?.receive(message, buffers);
    if (kind === "trouble" && about === "images") this.panes[pane]?.say(text);
    if (kind === "saved" || (kind === "trouble" && about === "save")) this.selection.say(text);
  }

  coloured() {
    const scale = this.model.get("colours");
    const colours = scale.values ? palette(this.tree, scale) : null;
    this.view.look.colours = colours;
    this.root.classList.toggle("coloured", Boolean(colours));
    this.legend.classList.toggle("hidden", !colours);
    this.legend.replaceChildren(...(colours ? colours.legend() : []));
    const head = (name, text) => element("span", { class: name }, text);
    this.heads.replaceChildren(head("first", "synset"), ...(colours ? [head("colour", colours.unit)] : []),
      head("count", this.tree.counted ? "classes" : "leaves"), head("count", this.tree.counted ? "images" : ""));
    if (this.choice) this.view.refresh();
  }

  // Draw the rows again once their real height is known.
  placed() {
    this.view.rows.draw(false);
    this.resize = new ResizeObserver(() => this.view.rows.draw(false));
    this.resize.observe(this.view.viewport);
    requestAnimationFrame(() => setTimeout(() => {
      performance.mark("itl:painted");
      setTimeout(() => this.view.search, 20);           // so that it is ready before anyone types
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
