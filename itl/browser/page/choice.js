// What is chosen, and what each click does to it: the operations of itl/browser/choice.py, with nodes as numbers.
// No DOM here: a test runs this file beside the Python one.

export const UNTOUCHED = {
  base: "original", nodes: [], pascal: true, half: "", unticked: [], classes: null, images_per_class: null, seed: 0,
};

export class Choice {
  // fields: what Choice.to_dict returns in Python
  constructor(tree, fields) {
    this.tree = tree;
    Object.assign(this, fields);
    const numbers = (wnids) => new Set(wnids.map((wnid) => tree.number.get(wnid)).filter((at) => at !== undefined));
    this.nodes = numbers(fields.nodes);
    this.unticked = numbers(fields.unticked);
  }

  toDict() {
    const wnids = (numbers) => [...numbers].map((at) => this.tree.wnid[at]).sort();
    const { base, pascal, half, classes, images_per_class, seed } = this;
    return {
      base, nodes: wnids(this.nodes), pascal, half, unticked: wnids(this.unticked), classes, images_per_class, seed,
    };
  }

  // Untick all leaves under the node, by any path, if all are ticked; tick them all if any is not.
  toggle(at) {
    const leaves = this.tree.leavesUnder[at];
    const allTicked = leaves.every((leaf) => !this.unticked.has(leaf));
    for (const leaf of leaves) allTicked ? this.unticked.add(leaf) : this.unticked.delete(leaf);
  }

  // Make the node a class in place of all below it; where it is one, merge it into the node above.
  cutAt(at) {
    const nodes = this.base === "cut" ? this.nodes : new Set(this.labelled().values());
    if (!nodes.delete(at)) {
      for (const node of nodes) if (this.tree.path(node).includes(at)) nodes.delete(node);
      nodes.add(at);
    }
    this.base = "cut";
    this.nodes = nodes;
  }

  // Map all labelled classes to their class, before any is left out; -1 where a cut has none.
  labelled() {
    const [method, argument] = this.base.split("@");
    const { labelledNodes } = this.tree;
    let classOf = null;
    if (method === "bottom-up") classOf = this.tree.atDepth(Number(argument));
    if (method === "cut") classOf = this.tree.nearest(this.nodes);
    if (method === "top-down") classOf = this.tree.rounds[Number(argument) - 1] ?? [];
    return new Map(labelledNodes.map((at, nth) => [
      at, classOf === null ? at : method === "top-down" ? classOf[nth] : classOf[at],
    ]));
  }

  // Map the classes that stay to their class; dropped are those that a half or PASCAL leaves out.
  kept(dropped) {
    const classOf = this.labelled();
    for (const [at, node] of classOf) if (node < 0 || this.unticked.has(at) || dropped.has(at)) classOf.delete(at);
    return classOf;
  }

  // Write kept classes, as kept maps them and those outside of the tree, as `itl labels` prints a label set.
  labelsCsv(kept, outside = []) {
    const { wnid } = this.tree;
    const rows = [...[...kept].map(([at, node]) => [wnid[at], wnid[node]]), ...outside.map((name) => [name, name])];
    rows.sort(([one], [other]) => (one < other ? -1 : 1));
    return `wnid,label\n${rows.map((row) => `${row.map(csvCell).join(",")}\n`).join("")}`;
  }

  // For every node 2 where all its leaves are ticked or it has none, 1 where some are, 0 where none is.
  states() {
    const unticked = new Int32Array(this.tree.size);
    const seen = new Int32Array(this.tree.size).fill(-1);
    for (const leaf of this.unticked) this.tree.eachAbove(leaf, seen, (above) => unticked[above]++);
    return Uint8Array.from(unticked, (count, at) => {
      if (!count) return 2;
      return count < this.tree.leavesUnder[at].length ? 1 : 0;
    });
  }
}

// Names of one's own classes may hold what divides the cells of a table.
function csvCell(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Gather kept classes by their class: [class, leaves, images], the most images first.
export function tally(tree, kept) {
  const rows = new Map();
  for (const [at, node] of kept) {
    const row = rows.get(node) ?? [node, 0, 0];
    row[1]++;
    row[2] += tree.images[at];
    rows.set(node, row);
  }
  return [...rows.values()].sort((a, b) => b[2] - a[2] || b[1] - a[1] || a[0] - b[0]);
}
