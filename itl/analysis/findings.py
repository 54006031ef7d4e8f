"""The paper's findings, and the comparison of ours for each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from itl.analysis.task_values import rows_by_condition
from itl.analysis.wording import comparison_text, signed
from itl.runs.design import Columns, Comparison, Condition, Task
from itl.runs.question import Question

PAPERS_LARGEST = 1000  # images of each class, and classes
COMPARABLE_OCTAVES = 0.5  # shares within a factor of √2 can stand beside each other: 100 of 947 is not a half
SAME_IMAGES = 0.95  # class counts are compared on the same images: at least this share of them


@dataclass(frozen=True)
class Finding:
    """One finding of the paper: a row of published.csv."""

    question: str
    finding: str
    sign: str  #: of the change that it is about: + or -
    beside: str  #: own: the change is compared with that on nets' own classes
    #: of the question: its number, or COLUMN=VALUE of the first; '' where conditions are numbers
    comparison: str
    column: str  #: what the conditions are numbers of: images_per_class or classes
    of: str
    against: str
    task: str
    protocol: str  #: of the data set, as results name it, where all its images are there
    metric: str
    value: str  #: the change in points, where it is known
    source: str  #: where that stands

    @property
    def conditions(self) -> str:
        """The paper's conditions for people; '' where no numbers are known."""
        if not self.column:
            return ""
        if self.column == "classes":
            return f"{self.of} instead of {self.against} classes"
        return comparison_text({self.column: self.of}, {self.column: self.against})

    @property
    def beside_own(self) -> bool:
        """Whether it is about a change less that on nets' own classes."""
        return self.beside == "own"

    @property
    def size(self) -> float:
        """The published change in points; nan where it is not known."""
        return float(self.value) if self.value else math.nan

    @property
    def size_text(self) -> str:
        """The published change in points, with its sign; '' where it is not known."""
        return signed(self.size) if self.value else ""

    def is_measured_so(self, task: str, metric: str, results: pd.DataFrame) -> bool:
        """Say if *task* is measured by *metric* as this finding is, so that sizes can be compared.

        That takes the paper's method, metric, and data set, with all images of its published splits.
        """
        ours, paper = Task.read(task), Task.read(self.task) if self.task else None
        if paper is None or "protocol" not in results:
            return False
        protocols = set(results.loc[results["task"] == task, "protocol"])
        same = (ours.method, metric, protocols) == (paper.method, self.metric, {self.protocol})
        return same and ours.labels == paper.labels and ours.images_per_class == paper.images_per_class


def findings(question: str) -> list[Finding]:
    """Read what the paper found on *question*."""
    table = pd.read_csv(files("itl") / "analysis/published.csv", dtype=str, keep_default_na=False)
    return [Finding(**row) for row in table.to_dict("records") if row["question"] == question]


def our_comparison(finding: Finding, question: Question, results: pd.DataFrame) -> Comparison | None:
    """Return our comparison that *finding* is about; None where we have no comparable one.

    Where the paper's conditions are numbers, ours are those whose shares of our largest are nearest to the
    paper's of its own, if they are comparable: 500 of 1000 images per class stand beside 100 of 200.
    """
    if not finding.column:
        own = [condition.columns for condition in question.conditions if condition.weights]
        declared = [pair for pair in question.comparisons if pair.of not in own]
        column, equals, value = finding.comparison.partition("=")
        if equals:
            declared = [pair for pair in declared if (column, value) in pair.of]
        else:
            declared = declared[int(finding.comparison) :]
        return declared[0] if declared else None
    sizes = _sizes(question.conditions, results, finding.column)
    if not sizes:
        return None
    largest = max(sizes, key=sizes.__getitem__)  # compared are those that differ in the number alone
    alike = {name: size / sizes[largest] for name, size in sizes.items() if name[1:] == largest[1:]}
    of, against = (_nearest(alike, float(one) / PAPERS_LARGEST) for one in (finding.of, finding.against))
    if not of or not against or of == against:
        return None
    same = (pair for pair in question.comparisons if (pair.of, pair.against) == (of, against))
    return next(same, Comparison(of, against))  # a declared one may be on tasks of its own


def _nearest(shares: dict[Columns, float], share: float) -> Columns | None:
    """Return the condition whose own share is nearest to *share*; None where it is not comparable."""
    octaves = {columns: abs(math.log2(own / share)) for columns, own in shares.items()}
    nearest = min(octaves, key=octaves.__getitem__)
    return nearest if octaves[nearest] <= COMPARABLE_OCTAVES else None


def _sizes(conditions: Sequence[Condition], results: pd.DataFrame, column: str) -> dict[Columns, float]:
    """Map each pre-trained condition to its number of classes, or of images in an average class."""
    sizes, images = {}, {}
    groups = rows_by_condition(results, conditions)
    for condition in conditions:
        rows = groups.get(condition.columns)
        if condition.trained and rows is not None:
            classes, images[condition.columns] = rows["classes"].mean(), rows["images"].mean()
            sizes[condition.columns] = classes if column == "classes" else images[condition.columns] / classes
    if column == "classes":
        most = max(images.values(), default=0)
        sizes = {name: size for name, size in sizes.items() if images[name] >= SAME_IMAGES * most}
    return sizes
