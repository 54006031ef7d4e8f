"""How quick the browser is with as many nodes as ImageNet-21k has: `python -m tests.browser.figures`."""

import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.browser import lab as rig

TIMES = 15  # of each; the table shows the middle one and the slowest
CELL = """from itl.browser.widget import HierarchyBrowser
from tests.browser.worlds import wide_tree
import time
tree = wide_tree()
ended = []
get_ipython().events.register("post_run_cell", lambda result: ended.append(time.time()))"""
SHOW = "browser = HierarchyBrowser({})\nbrowser"
PAINTED = """async (made) => {
    const painted = () => performance.getEntriesByName("itl:painted");
    while (painted().length < made) await new Promise((done) => setTimeout(done, 5));
    return performance.timeOrigin + painted().at(-1).startTime;
}"""
# A painted frame: what comes after the next one was handed over.
ACT = """async ([what, given]) => {
    const root = document.querySelector(".itl-browser"), query = root.querySelector(".query");
    const rows = () => [...root.querySelectorAll(".row")];
    if (what !== "search") { query.value = ""; query.dispatchEvent(new Event("input")); }
    await new Promise((done) => setTimeout(done, 50));
    const started = performance.now();
    if (what === "search") { query.value = given; query.dispatchEvent(new Event("input")); }
    else rows().findLast((row) => row.ariaExpanded === given).querySelector(".twisty").click();
    root.getBoundingClientRect();
    const done = performance.now();
    await new Promise((then) => requestAnimationFrame(() => { const at = new MessageChannel();
        at.port1.onmessage = then; at.port2.postMessage(0); }));
    return [done - started, performance.now() - started, rows().length];
}"""
LAST = "() => [...document.querySelectorAll('.itl-browser')].slice(0, -1).forEach((each) => each.remove())"
QUERIES = ["b", "ba", "bac", "baco", "bacodi", "lo me", "n0001", "wo", "vi", "te sa"]


def main() -> None:
    """Print the table, in milliseconds, beside what is wanted."""
    if rig.CHROMIUM is None:
        sys.exit("there is no Chromium on this machine; on Debian `apt-get install chromium` brings one")
    with tempfile.TemporaryDirectory() as folder, rig.jupyterlab(Path(folder)) as lab, rig.chromium() as it:
        page = it.new_page(viewport={"width": 1280, "height": 1300})
        rig.open_lab(page, lab)
        shown = [SHOW.format("")] * 4 + [SHOW.format("tree=tree")] * 4
        notebook = rig.Notebook(page, Path(folder), "figures.ipynb", [CELL, *shown])
        notebook.run()
        paints = [_painted(page, notebook, made) for made in range(1, len(shown) + 1)]
        first, small, first_wide, wide = paints[0], paints[1:4], paints[4], paints[5:]
        page.evaluate(LAST)
        rows = [("first paint after the cell ran, 1,860 nodes", [first, *small], 300)]
        rows.append(("first paint after the cell ran, 21,841 nodes", [first_wide, *wide], 300))
        searches = [page.evaluate(ACT, ["search", query]) for query in QUERIES * 2]
        rows.append(("search keystroke to results, 21,841 nodes", [act[0] for act in searches], 50))
        rows.append(("the same, until the frame was painted", [act[1] for act in searches], 50))
        opened = [page.evaluate(ACT, ["open", "false"]) for _ in range(TIMES)]
        rows.append(("node opened, 21,841 nodes", [act[0] for act in opened], 50))
        rows.append(("the same, until the frame was painted", [act[1] for act in opened], 50))
        notebook.execute("browser.opened = list(tree)")
        page.wait_for_function("document.querySelector('.itl-browser .canvas').clientHeight === 21841 * 26")
        closed = [page.evaluate(ACT, ["close", "true"]) for _ in range(TIMES)]
        rows.append(("node closed, all 21,841 open", [act[0] for act in closed], 50))
        most = max(act[2] for act in [*searches, *opened, *closed])
    print(f"{'':48}{'middle':>9}{'slowest':>9}{'wanted':>9}   (milliseconds)")
    for name, values, wanted in rows:
        print(f"{name:48}{median(values):9.1f}{max(values):9.1f}{'< ' + str(wanted):>9}")
    print(f"{'rows in the page at most':48}{most:9}{'':9}{'<= 500':>9}")


def _painted(page, notebook: rig.Notebook, made: int) -> float:
    """Run the next cell; returns milliseconds from its end in the kernel to its widget's first frame."""
    notebook.run()
    painted = page.evaluate(PAINTED, made)
    return painted - 1000 * float(notebook.execute("print(ended[-1])"))


if __name__ == "__main__":
    main()
