"""With this folder in PYTHONPATH, Python has only what a bare GPU machine has: it cannot import ABSENT."""

from importlib.machinery import ModuleSpec, PathFinder

# Of what itl declares; jinja2 and markupsafe come with torch, pygments with pytest.
HERE = {
    "filelock",
    "jinja2",
    "markupsafe",
    "numba",
    "numpy",
    "pandas",
    "PIL",
    "pyarrow",
    "pygments",
    "safetensors",
    "scipy",
    "torch",
    "torchvision",
}
ABSENT = {
    "anywidget",
    "bs4",
    "dask",
    "distributed",
    "ipykernel",
    "IPython",
    "ipywidgets",
    "jupyter_client",
    "jupyterlab",
    "matplotlib",
    "nbclient",
    "nbconvert",
    "nbformat",
    "nltk",
    "papermill",
    "psutil",
    "pydantic",
    "pydantic_core",
    "seaborn",
    "simplejpeg",
    "sklearn",
    "threadpoolctl",
    "timm",
    "tqdm",
    "traitlets",
    "yaml",
}


def hide(absent: set[str]) -> None:
    """Let no search of sys.path find the packages *absent*."""
    search = PathFinder.find_spec

    def find_spec(cls: type, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del cls
        return None if name.partition(".")[0] in absent else search(name, path, target)

    PathFinder.find_spec = classmethod(find_spec)


if __name__ == "sitecustomize":  # imported by Python as it starts, not by a test
    hide(ABSENT)
