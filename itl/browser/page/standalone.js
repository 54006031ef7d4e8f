// The browser in a file of its own, without a kernel: what only the kernel computes is said to be missing.
import { Choice, tally } from "./choice.js";
import { Browser } from "./main.js";
import { number, some } from "./rows.js";
import { Tree } from "./tree.js";

const ELSEWHERE = "This page has no kernel: halves and numbers of classes need JupyterLab; “Start again” drops them.";

// What a widget's model is to the page, with the traits in fields.
export class FileModel {
  constructor(fields) {
    this.fields = fields;
    this.handlers = new Map();
    this.tree = new Tree(fields.columns);
  }

  get(name) {
    return this.fields[name];
  }

  set(name, value) {
    this.fields[name] = value;
  }

  on(event, handler) {
    this.handlers.set(event, handler);
  }

  // As the kernel does: count what the choice keeps.
  save_changes() {
    if ((this.fields.summary.revision ?? 0) === this.fields._revision) return;
    this.fields.summary = { revision: this.fields._revision, ...this.summary() };
    this.handlers.get("change:summary")();
  }

  summary() {
    const choice = new Choice(this.tree, this.fields._choice);
    const dropped = new Set(choice.pascal ? [] : this.tree.underPascal);
    const { name, outside } = this.tree;
    const sizes = [
      ...tally(this.tree, choice.kept(dropped)).map(([node, leaves, images]) => [name[node], leaves, images]),
      ...outside.map(([wnid, images]) => [wnid, 1, images]),
    ].sort((a, b) => b[2] - a[2]);
    const problem = this.problem(choice, sizes);
    if (problem) return { problem, facts: [], dropped: [], outside: [] };
    const [unit, column] = this.tree.counted ? ["images", 2] : ["leaves", 1];
    const most = column === 2 ? choice.images_per_class ?? Infinity : Infinity;
    const total = sizes.reduce((sum, row) => sum + Math.min(row[column], most), 0);
    const facts = [["classes", number(sizes.length)], [unit, number(total)]];
    return { facts, dropped: [], outside: outside.map(([wnid]) => wnid) };
  }

  // Why no images can be selected so, in short; "" where they can.
  problem(choice, sizes) {
    const { half, classes, seed, images_per_class: wanted } = choice;
    if (half || classes !== null) return ELSEWHERE;
    const { outside } = this.tree;
    if (outside.length && (choice.base !== "original" || !choice.pascal || choice.unticked.size)) {
      return `not in the tree: ${number(outside.length)} of the pack's classes, such as ${outside[0][0]}; only original `
        + "and random halves take any class";
    }
    if (!sizes.length) return "no class is left; tick some, or choose another cut";
    if (seed < 0 || seed >= 2 ** 32) return `seed should be from 0 to 4,294,967,295, not ${seed}`;
    if (wanted === null) return "";
    if (wanted < 1) return `images_per_class should be at least 1, not ${wanted}`;
    const [name, , fewest] = sizes[sizes.length - 1];
    if (!this.tree.counted || fewest >= wanted) return "";
    return `${some(wanted, "image")} per class were asked for; class ${name} has ${number(fewest)}; `
      + `ask for at most ${number(fewest)}`;
  }
}

export function standalone(fields, root) {
  const browser = new Browser(new FileModel(fields), false);
  root.append(browser.root);
  browser.placed();
  if (browser.view.chosen >= 0) browser.view.reveal(browser.view.chosen, false);  // now that rows have a height
}
