"""What axe-core says of a page that Chromium shows: names, roles, contrast, order of headings."""

from tests.browser.lab import ROOT

SCRIPT = ROOT / "node_modules/axe-core/axe.min.js"  # `make lint` installs it where npm is there
SERIOUS = ("serious", "critical")

# The names that screen readers read: what has none in the outputs of the notebook.
UNNAMED = """() => {
  const parts = "input, select, textarea, button, img, progress, table, [role=region]";
  const named = (part) => part.labels?.[0]?.textContent.trim() || part.ariaLabel || part.alt
    || part.textContent.trim();
  return [...document.querySelectorAll(`.jp-OutputArea-output :is(${parts})`)]
    .filter((part) => part.offsetParent && !named(part)).map((part) => part.outerHTML.slice(0, 200));
}"""


def serious_faults(page, within: str = "body", without: tuple[str, ...] = ()) -> list[str]:
    """List the serious faults of *page* inside the elements that the selector *within* names.

    Without axe-core, nothing is looked at: `test_axe_core_is_there` says so.

    Args:
        page: of playwright.
        within: a selector of CSS.
        without: rules of axe-core that are not of our making there.
    """
    if not SCRIPT.exists():
        return []
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SCRIPT.read_text("utf-8"))
    rules = {rule: {"enabled": False} for rule in without}
    ask = "([within, rules]) => axe.run(within, {rules, resultTypes: ['violations']})"
    violations = page.evaluate(ask, [within, rules])["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
        for violation in violations
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
