// The panels beside and below the tree: classes, selection, summary, images.
import { element, number, some } from "./rows.js";

const BASES = [
  ["original", "every class", "each class as it is"],
  ["bottom-up", "bottom-up", "each class becomes the node above it at a level of the tree"],
  ["top-down", "top-down", "in each round every label becomes its parent, and then the highest such label above it"],
  ["cut", "my own cut", "the nodes become classes whose ◇ is clicked"],
];
const HALVES = ["", "half-random-a", "half-random-b", "half-minimal-a", "half-minimal-b"];

// How the tree is cut: as it is, in two ways with a slider, or by the user's own cut.
export class CutPanel {
  // changed(base): called when another is chosen
  constructor(tree, changed) {
    this.changed = changed;
    this.most = { "bottom-up": tree.deepest, "top-down": tree.rounds.length };
    this.at = { "bottom-up": tree.deepest, "top-down": 1 };
    const name = `cut-${Math.random().toString(36).slice(2)}`;
    this.radios = BASES.map(([base]) => element("input", {
      type: "radio", name, value: base, onchange: () => this.send(base),
      disabled: base === "top-down" && !tree.rounds.length,
    }));
    this.slider = element("input", { type: "range", min: 0, class: "slider", oninput: () => this.slid() });
    this.text = element("output", { class: "base-text", "aria-live": "polite" });
    this.figure = element("div", { class: "figure" });
    this.root = element("fieldset", {}, element("legend", {}, "Classes"),
      element("div", { class: "radios" }, ...BASES.map(([, label, title], nth) => element("label", { title }, this.radios[nth], ` ${label}`))),
      this.slider, this.text, this.figure);
  }

  slid() {
    this.at[this.base] = this.base === "bottom-up" ? this.most[this.base] - this.slider.valueAsNumber : this.slider.valueAsNumber;
    this.send(this.base);
  }

  send(base) {
    this.changed(base in this.at ? `${base}@${this.at[base]}` : base);
  }

  // Coarser is right, whatever the method counts.
  show(base, classes) {
    const [method, argument] = base.split("@");
    this.base = method;
    for (const radio of this.radios) radio.checked = radio.value === method;
    const slides = method in this.at;
    this.slider.classList.toggle("hidden", !slides);
    this.slider.disabled = !slides;
    let text = { original: "each class as it is", cut: "click ◇ on the tree, or press c" }[method];
    if (slides) {
      this.at[method] = Number(argument);
      this.slider.min = method === "bottom-up" ? 0 : 1;
      this.slider.max = this.most[method];
      this.slider.value = method === "bottom-up" ? this.most[method] - argument : argument;
      text = method === "bottom-up" ? `level ${argument}` : `round ${argument}`;
      this.slider.setAttribute("aria-label", method === "bottom-up" ? "level of the cut" : "rounds");
      this.slider.setAttribute("aria-valuetext", `${text}, ${some(classes.length, "class", "classes")}`);
    }
    this.text.textContent = `${text}: ${some(classes.length, "class", "classes")}`;
  }

  // One bar a class, the most first; what: images or leaves. On a log scale where a few dwarf the rest.
  draw(sizes, what) {
    const most = Math.max(1, ...sizes);
    const log = most > 20 * Math.max(1, sizes.at(-1) ?? 1);
    const width = 300, height = 64;
    const step = width / Math.max(1, sizes.length);
    const tall = (size) => (log ? Math.log2(size + 1) / Math.log2(most + 1) : size / most) * height;
    const points = sizes.flatMap((size, nth) => [[nth * step, size], [(nth + 1) * step, size]]);
    const path = points.map(([x, size]) => `L${x.toFixed(2)} ${(height - tall(size)).toFixed(2)}`).join("");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const area = document.createElementNS("http://www.w3.org/2000/svg", "path");
    area.setAttribute("d", `M0 ${height}${path}L${width} ${height}Z`);
    svg.append(area);
    const ends = sizes.length ? `from ${number(sizes[0])} down to ${number(sizes.at(-1))}` : "none";
    const attributes = {
      viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${what} per class: ${ends}`,
    };
    for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
    this.figure.replaceChildren(
      element("div", { class: "axis" }, element("span", {}, number(most)), element("span", {}, "0")), svg,
      element("div", { class: "caption" }, `${what} per class, largest first${log ? ", log scale" : ""}`));
  }
}

// What is left out and how much is kept; changed(fields) is called with the fields that changed. What only a kernel
// can do is not offered without one; labels can be taken along as a file that presets take. Without a pack there are
// no images for a preset.
export class SelectionPanel {
  constructor(changed, ask, hasKernel, hasPack) {
    const whole = (name, label, least) => {
      const input = element("input", {
        type: "number", min: least, placeholder: least ? "all" : "0", "aria-label": label,
        onchange: () => changed({ [name]: input.value === "" ? (least ? null : 0) : Math.trunc(input.valueAsNumber) }),
      });
      return input;
    };
    this.pascal = element("input", { type: "checkbox", onchange: () => changed({ pascal: !this.pascal.checked }) });
    this.half = element("select", { "aria-label": "half of the classes", onchange: () => changed({ half: this.halved() }) },
      ...HALVES.map((half) => element("option", { value: half }, half || "both halves")));
    this.halfSeed = element("input", {
      type: "number", value: 0, "aria-label": "seed of the random half", onchange: () => changed({ half: this.halved() }),
    });
    this.inputs = {
      images_per_class: whole("images_per_class", "images of each class", 1),
      classes: whole("classes", "number of classes", 1),
      seed: whole("seed", "seed that picks classes and images", 0),
    };
    this.name = element("input", { type: "text", placeholder: "name", "aria-label": "name of the preset", size: 10 });
    this.summary = element("dl", { class: "summary", "aria-live": "polite" });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.yaml = element("pre", { class: "yaml", tabindex: 0, "aria-label": "the selection as YAML" });
    this.said = element("p", { class: "said", role: "status" });
    this.undo = element("button", { type: "button", onclick: () => ask("undo") }, "Undo");
    this.copied = element("button", { type: "button", onclick: () => this.copy() }, "Copy as YAML");
    const field = (label, ...inputs) => element("label", { class: "field" }, element("span", {}, label), ...inputs);
    this.root = element("fieldset", {}, element("legend", {}, "Selection"),
      element("label", { class: "check" }, this.pascal, " without PASCAL"),
      element("div", { class: "field" }, this.half, this.halfSeed),
      field("images per class", this.inputs.images_per_class),
      field("classes", this.inputs.classes),
      field("seed", this.inputs.seed),
      this.problem, this.summary, this.yaml,
      element("div", { class: "buttons" }, this.copied,
        this.undo, element("button", { type: "button", onclick: () => ask("clear") }, "Start again")),
      hasKernel ? this.saving(ask, hasPack) : this.labelsForm(ask),
      this.said);
    this.root.addEventListener("keydown", (event) => {  // as in forms, which JupyterLab does not send by Enter
      const { key, target } = event;
      if (key === "Enter" && target.type === "number") (target.blur(), target.focus());
      if (key === "Enter" && target === this.name) (event.preventDefault(), this.save());
    });
    // What is being typed stays until it is sent: the answer to what was done before may come meanwhile.
    this.typing = null;
    this.root.addEventListener("input", (event) => (this.typing = event.target), true);
    for (const end of ["change", "focusout"]) this.root.addEventListener(end, () => (this.typing = null), true);
    for (const input of hasKernel ? [] : [this.half, this.halfSeed, this.inputs.classes]) {
      input.disabled = true;
      input.title = "needs JupyterLab";
    }
  }

  saving(ask, hasPack) {
    this.name.disabled = !hasPack;
    this.save = () => ask("save", { name: this.name.value });
    const form = element("form", {
      class: "buttons", onsubmit: (event) => (event.preventDefault(), this.save()),
    }, this.name, element("button", { disabled: !hasPack }, "Save preset"));
    const why = "A preset needs images: HierarchyBrowser(pack=...) saves one, and so does StudyPanel(browser=browser).";
    return element("div", {}, form, ...(hasPack ? [] : [element("p", { class: "said" }, why)]));
  }

  labelsForm(ask) {
    return element("div", {},
      element("div", { class: "buttons" },
        element("button", { type: "button", onclick: () => ask("labels") }, "Download labels (CSV)")),
      element("p", { class: "said" }, "A preset takes them as labels: file@labels.csv. Images, halves and presets need JupyterLab."));
  }

  halved() {
    const half = this.half.value;
    return half.includes("random") ? `${half}@${Number(this.halfSeed.value) || 0}` : half;
  }

  show(choice, summary, waiting, canUndo) {
    const [half, seed] = choice.half.split("@");
    this.pascal.checked = !choice.pascal;
    this.half.value = half;
    this.halfSeed.classList.toggle("hidden", seed === undefined);
    const fill = (input, value) => {
      if (input !== this.typing) input.value = value;
    };
    if (seed !== undefined) fill(this.halfSeed, seed);
    for (const [name, input] of Object.entries(this.inputs)) fill(input, choice[name] ?? "");
    this.root.setAttribute("aria-busy", String(waiting));
    this.problem.textContent = summary.problem ?? "";
    this.yaml.textContent = summary.yaml ?? "";
    this.yaml.classList.toggle("hidden", !summary.yaml);
    this.copied.disabled = !summary.yaml;
    this.undo.disabled = !canUndo;
    this.summary.replaceChildren(...(summary.facts ?? []).flatMap(([name, value]) => [
      element("dt", {}, name), element("dd", {}, value)]));
  }

  say(text) {
    this.said.textContent = text;
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.yaml.textContent);
      this.say("Copied.");
    } catch {                                           // no permission, or the page is not on https
      getSelection().selectAllChildren(this.yaml);
      this.say(document.execCommand("copy") ? "Copied." : "Selected: copy it with the keyboard.");
    }
  }
}

// What a node is, where it lies, and as what it is learned; reveal(at) goes to a node above it.
export class AboutPanel {
  constructor(tree, reveal) {
    Object.assign(this, { tree, reveal });
    this.root = element("section", { class: "about hidden" });
  }

  show(at, kept) {
    const { tree } = this;
    const link = (above) => element("button", {
      type: "button", class: "link", onclick: () => this.reveal(above),
    }, tree.name[above]);
    const path = tree.path(at).slice(0, -1).flatMap((above) => [link(above), " › "]);
    const others = tree.hypernyms[at].slice(1).flatMap((above) => [link(above), " "]);
    const under = kept.get(at);
    const words = tree.words[at].join(", ").replaceAll("_", " ");
    let trained = "";
    if (tree.labelled[at] && under === undefined) trained = "Left out.";
    else if (under !== undefined) trained = under === at ? "A class of its own." : `Learned as ${tree.name[under]}.`;
    this.root.replaceChildren(
      element("h3", {}, tree.name[at], " ", element("code", {}, tree.wnid[at])),
      element("p", { class: "path" }, ...path, element("b", {}, tree.name[at])),
      ...(others.length ? [element("p", { class: "others" }, "↑ also under ", ...others)] : []),
      element("p", {}, tree.gloss[at],
        element("span", { class: "words" }, ` (${words}) ${trained}`)));
    this.root.classList.remove("hidden");
  }
}

// A node's images, paged; ask({wnid, page, seed, pane, request}) requests a page from the kernel.
export class ImagesPane {
  constructor(tree, pane, ask, buttons) {
    Object.assign(this, { tree, pane, ask, at: -1, page: 0, request: 0, urls: [] });
    this.title = element("h4", {});
    this.grid = element("div", { class: "grid" });
    this.where = element("span", { class: "where" });
    this.seed = element("input", {
      type: "number", value: 0, "aria-label": "seed of the draw", onchange: () => this.go(0),
    });
    const step = (label, by, sign) => element("button", {
      type: "button", "aria-label": label, onclick: () => this.go(this.page + by),
    }, sign);
    this.back = step("images before these", -1, "◀");
    this.next = step("more images", 1, "▶");
    this.root = element("section", { class: "pane" }, this.title,
      element("div", { class: "bar" }, this.back, this.where, this.next,
        element("label", {}, "seed ", this.seed), ...buttons),
      this.grid);
  }

  show(at, page = 0) {
    this.at = at;
    this.title.textContent = this.tree.name[at];
    this.go(page);
  }

  go(page) {
    this.page = page;
    this.request++;
    this.root.setAttribute("aria-busy", "true");
    this.ask({
      wnid: this.tree.wnid[this.at], page, seed: Number(this.seed.value) || 0, pane: this.pane, request: this.request,
    });
  }

  // answer: {request, page, pages, total, images: [{id, name}], type}; buffers: the bytes of the images
  receive(answer, buffers) {
    if (answer.request !== this.request) return;        // the answer to an earlier click
    this.root.setAttribute("aria-busy", "false");
    this.clear();
    this.page = answer.page;
    this.where.textContent = answer.total ? `page ${number(answer.page + 1)} of ${number(answer.pages)}` : "";
    this.back.disabled = answer.page < 1;
    this.next.disabled = answer.page >= answer.pages - 1;
    this.title.textContent = `${this.tree.name[this.at]}: ${some(answer.total, "image")}`;
    if (!answer.total) this.say("The pack has no training image of this.");
    this.grid.append(...answer.images.map(({ id, name }, nth) => {
      const url = URL.createObjectURL(new Blob([buffers[nth]], { type: answer.type }));
      this.urls.push(url);
      return element("figure", { title: id }, element("img", { src: url, alt: `${name}, ${id}` }),
        element("figcaption", {}, name));
    }));
  }

  say(text) {
    this.root.setAttribute("aria-busy", "false");
    this.clear();
    this.grid.append(element("p", { class: "problem", role: "alert" }, text));
  }

  clear() {
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
    this.grid.replaceChildren();
  }
}
