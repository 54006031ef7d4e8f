"""The answer to a question in steps, each short enough for a control to be used between them."""

from functools import cached_property

import pandas as pd

from itl.analysis.comparisons import Answer, answer_of
from itl.analysis.origins import Origins, origins
from itl.machine import Machine
from itl.panels.panel import ForestPicture, forest_picture
from itl.runs.question import Question
from itl.runs.store import Store
from itl.runs.task_questions import Advice, Influence, Scores

ANSWERED_BY = {  # what answers questions that their comparisons do not
    Influence: "InfluencePanel, and by page 08-influence of a report",
    Scores: "page 09-scores of a report",
    Advice: "AdvicePanel, and by page 10-advice of a report",
}
STEPS = ("results", "origins", "answer", "figure")


class AnswerSteps:
    """What `itl.analysis.comparisons.answer` makes of the finished runs of a question, and its figure.

    Each part is made when it is first read, with the parts that it needs.
    """

    def __init__(self, question: Question, store: Store, machine: Machine) -> None:
        self.question, self.store, self.machine = question, store, machine

    @cached_property
    def results(self) -> pd.DataFrame:
        """Every number of the finished runs; ItlError where none is done."""
        return self.question.results(self.store, self.machine)

    @cached_property
    def origins(self) -> Origins:
        """The commit, versions and device of each run."""
        return origins(self.question, self.store, self.machine)

    @cached_property
    def answer(self) -> Answer:
        """The question with all comparisons and their verdicts."""
        return answer_of(self.question, self.results, self.origins, self.machine)

    @cached_property
    def figure(self) -> ForestPicture:
        """All comparisons; ItlError where there is none."""
        return forest_picture(self.answer.contrasts)

    def is_known(self, part: str) -> bool:
        """Say whether a *part*, one of STEPS, is made already."""
        return part in vars(self)

    def make_next(self) -> None:
        """Make the next part of STEPS."""
        for part in STEPS:
            if not self.is_known(part):
                getattr(self, part)
                return
