// The tree as the kernel ships it: columns of equal length, one place for each node, sorted by wnid.

export class Tree {
  // columns: wnid, synset, name, words, gloss, hypernyms (places, the parent first), leaf, images, labelled
  constructor(columns) {
    Object.assign(this, columns);
    this.size = this.wnid.length;
    this.place = new Map(this.wnid.map((wnid, at) => [wnid, at]));
    this.parent = Int32Array.from(this.hypernyms, (above) => (above.length ? above[0] : -1));
    this.children = Array.from({ length: this.size }, () => []);
    this.roots = [];
    for (let at = 0; at < this.size; at++) (this.parent[at] < 0 ? this.roots : this.children[this.parent[at]]).push(at);
    const byName = (a, b) => (this.name[a] < this.name[b] ? -1 : this.name[a] > this.name[b] ? 1 : a - b);
    for (const some of this.children) some.sort(byName);
    this.depth = new Int32Array(this.size);
    this.topDown = [];                                  // parents before children, by parent paths
    const waiting = [...this.roots];
    while (waiting.length) {
      const at = waiting.pop();
      this.topDown.push(at);
      for (const child of this.children[at]) {
        this.depth[child] = this.depth[at] + 1;
        waiting.push(child);
      }
    }
    this.measure();
  }

  // Everything that counts leaves does so by any path, so a poodle counts under dog and under pet.
  measure() {
    this.leavesUnder = Array.from({ length: this.size }, () => []);
    this.imagesUnder = new Float64Array(this.size);
    const seen = new Int32Array(this.size).fill(-1);
    for (let at = 0; at < this.size; at++) {
      if (!this.leaf[at] && !this.images[at]) continue;
      this.eachAbove(at, seen, (above) => {
        if (this.leaf[at]) this.leavesUnder[above].push(at);
        this.imagesUnder[above] += this.images[at];
      });
    }
    this.labelledPlaces = [];
    this.labelledBelow = new Uint8Array(this.size);     // by parent paths: what a cut can label
    for (let at = 0; at < this.size; at++) {
      if (!this.labelled[at]) continue;
      this.labelledPlaces.push(at);
      for (let above = at; above >= 0 && !this.labelledBelow[above]; above = this.parent[above]) {
        this.labelledBelow[above] = 1;
      }
    }
    this.deepest = this.labelledPlaces.reduce((most, at) => Math.max(most, this.depth[at]), 0);
  }

  // Call visit with at and all above it, by any path, each once; seen is scratch of the tree's size.
  eachAbove(at, seen, visit) {
    const waiting = [at];
    seen[at] = at;
    while (waiting.length) {
      const here = waiting.pop();
      visit(here);
      for (const above of this.hypernyms[here]) {
        if (seen[above] !== at) {
          seen[above] = at;
          waiting.push(above);
        }
      }
    }
  }

  // From the root to the node.
  path(at) {
    const found = [];
    for (let above = at; above >= 0; above = this.parent[above]) found.push(above);
    return found.reverse();
  }

  // The ancestor of each labelled class at that depth, or the class itself where it is not so deep.
  atDepth(level) {
    const found = new Int32Array(this.size);
    for (const at of this.topDown) found[at] = this.depth[at] <= level ? at : found[this.parent[at]];
    return found;
  }

  // The nearest of nodes on each parent path; -1 where there is none.
  nearest(nodes) {
    const found = new Int32Array(this.size);
    for (const at of this.topDown) found[at] = nodes.has(at) ? at : this.parent[at] < 0 ? -1 : found[this.parent[at]];
    return found;
  }
}

// Search in the order of Taxonomy.search: called just so, starting so, with such a word, with it anywhere,
// and last in the gloss; among equals those with more leaves first.
export class Search {
  constructor(tree) {
    const lines = (words, at) => `\n${[...words, tree.synset[at]].map(plain).join("\n")}\n${tree.wnid[at]}\n`;
    this.words = tree.words.map(lines);
    this.glosses = tree.gloss.map((gloss) => " " + plain(gloss));
    const { leavesUnder } = tree;
    this.order = Array.from(this.words.keys());         // sorted once, not at every key
    this.order.sort((a, b) => leavesUnder[b].length - leavesUnder[a].length || a - b);
    this.find("once");                                  // joined strings are laid out when first read: not at a key
  }

  find(text) {
    const wanted = plain(text);
    if (!wanted) return [];
    const groups = [[], [], [], [], []];
    for (const at of this.order) {
      const rank = this.rank(wanted, at);
      if (rank >= 0) groups[rank].push(at);
    }
    return groups.flat();
  }

  rank(wanted, at) {
    const words = this.words[at];
    if (words.includes(wanted)) {
      if (!words.includes("\n" + wanted)) return words.includes(" " + wanted) ? 2 : 3;
      return words.includes(`\n${wanted}\n`) ? 0 : 1;
    }
    return this.glosses[at].includes(" " + wanted) ? 4 : -1;
  }
}

export function plain(text) {
  return text.replaceAll("_", " ").toLowerCase().split(/\s+/).filter(Boolean).join(" ");
}
