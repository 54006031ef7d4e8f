"""With this folder in PYTHONPATH, Python has only what a bare GPU machine has: it cannot import ABSENT."""

from importlib.machinery import ModuleSpec, PathFinder

HERE = {                                    # of what itl declares; networkx comes with torch
    "filelock", "networkx", "numba", "numpy", "pandas", "PIL", "pyarrow", "safetensors", "scipy", "torch",
    "torchvision",
}
ABSENT = {
    "anywidget", "dask", "distributed", "ipykernel", "IPython", "ipywidgets", "jupyterlab", "matplotlib",
    "nbconvert", "nbformat", "nltk", "papermill", "psutil", "pydantic", "pydantic_core", "seaborn", "timm",
    "tqdm", "yaml",
}


def hide(absent: set[str]) -> None:
    """Let no search of sys.path find the packages *absent*."""
    search = PathFinder.find_spec

    def find_spec(cls: type, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del cls
        return None if name.partition(".")[0] in absent else search(name, path, target)

    PathFinder.find_spec = classmethod(find_spec)


if __name__ == "sitecustomize":             # imported by Python as it starts, not by a test
    hide(ABSENT)
