// The tree as the kernel sends it: columns of equal length, in which nodes are numbered by wnid. No DOM here.

export class Tree {
  // columns: wnid, synset, name, words, gloss, hypernyms (numbers of nodes, the parent first), leaf, images, labelled;
  // outside: the classes that are none of these, with their images; rounds: for each round top-down the class of every
  // labelled class; underPascal: those of them under a class of PASCAL
  constructor(columns) {
    Object.assign(this, columns);
    this.size = this.wnid.length;
    this.number = new Map(this.wnid.map((wnid, at) => [wnid, at]));
    this.parent = Int32Array.from(this.hypernyms, (above) => (above.length ? above[0] : -1));
    this.children = Array.from({ length: this.size }, () => []);
    this.roots = [];
    for (let at = 0; at < this.size; at++) (this.parent[at] < 0 ? this.roots : this.children[this.parent[at]]).push(at);
    const byName = (a, b) => (this.name[a] < this.name[b] ? -1 : this.name[a] > this.name[b] ? 1 : a - b);
    for (const siblings of this.children) siblings.sort(byName);
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
    this.classesUnder = new Int32Array(this.size);      // of the pack; without one, of the tree
    const seen = new Int32Array(this.size).fill(-1);
    for (let at = 0; at < this.size; at++) {
      if (!this.leaf[at] && !this.images[at] && !this.labelled[at]) continue;
      this.eachAbove(at, seen, (above) => {
        if (this.leaf[at]) this.leavesUnder[above].push(at);
        if (this.labelled[at]) this.classesUnder[above]++;
        this.imagesUnder[above] += this.images[at];
      });
    }
    this.labelledNodes = [];
    this.labelledBelow = new Uint8Array(this.size);     // by parent paths: what a cut can label
    for (let at = 0; at < this.size; at++) {
      if (!this.labelled[at]) continue;
      this.labelledNodes.push(at);
      for (let above = at; above >= 0 && !this.labelledBelow[above]; above = this.parent[above]) {
        this.labelledBelow[above] = 1;
      }
    }
    this.deepest = this.labelledNodes.reduce((most, at) => Math.max(most, this.depth[at]), 0);
  }

  // Call visit with at and all above it, by any path, each once; seen is scratch of the tree's size.
  eachAbove(at, seen, visit) {
    const waiting = [at];
    seen[at] = at;
    while (waiting.length) {
      const node = waiting.pop();
      visit(node);
      for (const above of this.hypernyms[node]) {
        if (seen[above] !== at) {
          seen[above] = at;
          waiting.push(above);
        }
      }
    }
  }

  // From the root to the node.
  path(at) {
    const nodes = [];
    for (let above = at; above >= 0; above = this.parent[above]) nodes.push(above);
    return nodes.reverse();
  }

  // The ancestor of each labelled class at that depth, or the class itself where it is not so deep.
  atDepth(level) {
    const classOf = new Int32Array(this.size);
    for (const at of this.topDown) classOf[at] = this.depth[at] <= level ? at : classOf[this.parent[at]];
    return classOf;
  }

  // The nearest of nodes on each parent path; -1 where there is none.
  nearest(nodes) {
    const classOf = new Int32Array(this.size);
    for (const at of this.topDown) {
      const above = this.parent[at] < 0 ? -1 : classOf[this.parent[at]];
      classOf[at] = nodes.has(at) ? at : above;
    }
    return classOf;
  }
}

// Search in the order of Taxonomy.search: names equal to the text, names that start with it, names with a word that
// starts with it, names that contain it, and last glosses; among equals those with more leaves first.
export class Search {
  constructor(tree) {
    const lines = (words, at) => `\n${[...words, tree.synset[at]].map(plain).join("\n")}\n${tree.wnid[at]}\n`;
    this.words = tree.words.map(lines);
    this.glosses = tree.gloss.map((gloss) => " " + plain(gloss));
    const { leavesUnder } = tree;
    this.order = Array.from(this.words.keys());         // sorted once, not at every key
    this.order.sort((a, b) => leavesUnder[b].length - leavesUnder[a].length || a - b);
    this.find("once");                                  // joined strings are laid out when first read: do it now
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
