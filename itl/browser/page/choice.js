// What is chosen, and what each click does to it: the same operations as itl/browser/choice.py, by place not wnid.
import { Tree } from "./tree.js";

export class Choice {
  // told: what Choice.told gives in Python; cuts: the class of every node for each top-down round
  constructor(tree, told, cuts) {
    this.tree = tree;
    this.cuts = cuts;
    Object.assign(this, told);
    const places = (wnids) => new Set(wnids.map((wnid) => tree.place.get(wnid)).filter((at) => at !== undefined));
    this.nodes = places(told.nodes);
    this.unticked = places(told.unticked);
  }

  told() {
    const wnids = (places) => [...places].map((at) => this.tree.wnid[at]).sort();
    const { base, pascal, half, classes, images_per_class, seed } = this;
    return {
      base, nodes: wnids(this.nodes), pascal, half, unticked: wnids(this.unticked), classes, images_per_class, seed,
    };
  }

  // Untick all leaves under the node, by any path, if all are ticked; tick them all if any is not.
  toggle(at) {
    const below = this.tree.leavesUnder[at];
    const every = below.every((leaf) => !this.unticked.has(leaf));
    for (const leaf of below) every ? this.unticked.add(leaf) : this.unticked.delete(leaf);
  }

  // Make the node a class in place of all below it, or, where it is one, let the node above have them.
  cutAt(at) {
    const nodes = this.base === "cut" ? this.nodes : new Set(this.labelled().values());
    if (!nodes.delete(at)) {
      for (const node of nodes) if (this.tree.path(node).includes(at)) nodes.delete(node);
      nodes.add(at);
    }
    this.base = "cut";
    this.nodes = nodes;
  }

  // Of all labelled classes their class, before any is left out.
  labelled() {
    const [method, argument] = this.base.split("@");
    const { labelledPlaces } = this.tree;
    let classOf = null;
    if (method === "bottom-up") classOf = this.tree.atDepth(Number(argument));
    if (method === "cut") classOf = this.tree.nearest(this.nodes);
    if (method === "top-down") classOf = this.cuts[Number(argument) - 1] ?? [];
    return new Map(labelledPlaces.map((at, nth) => [
      at, classOf === null ? at : method === "top-down" ? classOf[nth] : classOf[at],
    ]));
  }

  // Of the classes that stay their class; dropped are places that a half or PASCAL leaves out.
  kept(dropped) {
    const found = this.labelled();
    for (const [at, node] of found) if (node < 0 || this.unticked.has(at) || dropped.has(at)) found.delete(at);
    return found;
  }

  // 2 for every node whose leaves are all ticked, 1 for some, 0 for none; 2 too where there is none below.
  states() {
    const out = new Int32Array(this.tree.size);
    const seen = new Int32Array(this.tree.size).fill(-1);
    for (const leaf of this.unticked) this.tree.eachAbove(leaf, seen, (above) => out[above]++);
    return Uint8Array.from(out, (count, at) => {
      if (!count) return 2;
      return count < this.tree.leavesUnder[at].length ? 1 : 0;
    });
  }
}

// Gather kept classes by their class: [class, leaves, images], the most images first.
export function tally(tree, kept) {
  const found = new Map();
  for (const [at, node] of kept) {
    const one = found.get(node) ?? [node, 0, 0];
    one[1]++;
    one[2] += tree.images[at];
    found.set(node, one);
  }
  return [...found.values()].sort((a, b) => b[2] - a[2] || b[1] - a[1] || a[0] - b[0]);
}
