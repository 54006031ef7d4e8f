"""itl: what in the pre-training images makes features transfer?

The public names of all rooms can be imported from here; each room is loaded when its first name is used.
"""

from importlib import import_module
from typing import Any

from itl.errors import ItlError, did_you_mean
from itl.notes import print_lines

__version__ = "0.1.0"

PUBLIC = {  # names, or whole modules, by the module that has them
    "itl.analysis": "advice comparisons doubts figures hierarchy_figures image_effects influence "
    "node_accuracy noise option_grid published score_trust tables verdicts wording",
    "itl.browser.widget": "HierarchyBrowser",
    "itl.hierarchy.label_sets": "label_set",
    "itl.hierarchy.taxonomy": "Taxonomy",
    "itl.machine": "Machine",
    "itl.packs.pack": "Pack",
    "itl.packs.paths": "packed",
    "itl.packs.subset": "select",
    "itl.panels.advice": "AdvicePanel",
    "itl.panels.influence": "InfluencePanel",
    "itl.panels.net": "NetPanel",
    "itl.panels.results": "ResultsPanel",
    "itl.panels.study": "StudyPanel",
    "itl.presets": "load_preset",
    "itl.runs": "questions",
    "itl.runs.nets": "export_net net_of",
    "itl.runs.perform": "load_net",
    "itl.runs.provenance": "provenance",
    "itl.runs.questions": "data_size class_count granularity budget overlap split coarse_or_fine scores",
    "itl.runs.results": "results_of",
    "itl.runs.store": "Store",
    "itl.settings": "spec_of",
    "itl.specs": "DetectionRecipe Packing Recipe Subset",
}
_module_of = {name: module for module, names in PUBLIC.items() for name in names.split()}
__all__ = ["ItlError", *_module_of]

print_lines()


def __getattr__(name: str) -> Any:
    """Import the public *name* from the module that has it."""
    if name not in _module_of:
        raise AttributeError(f"module 'itl' has no {name!r}; {did_you_mean(name, _module_of)}see itl.PUBLIC")
    module = import_module(_module_of[name])
    return getattr(module, name) if hasattr(module, name) else import_module(f"{module.__name__}.{name}")


def __dir__() -> list[str]:
    return [*(name for name in globals() if name.startswith("__")), *__all__]
