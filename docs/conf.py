"""Builds the pages of this folder, with the API from the docstrings: make docs."""

from itl import __version__

project = "itl"
release = __version__
html_title = f"itl {release}"
html_theme = "furo"  # requests nothing from other hosts
html_show_copyright = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "exclude-members": "model_config", "show-inheritance": False}
napoleon_numpy_docstring = False
suppress_warnings = ["ref.python"]  # several classes have a field of that name


def setup(app):
    """Write a colon in the comment of a field as a dash: napoleon takes what is before it for a type."""

    def no_colon(_app, what, _name, _object, _options, lines):
        if what == "attribute":
            lines[:] = [line.replace(": ", " – ") for line in lines]

    app.connect("autodoc-process-docstring", no_colon, priority=400)  # before napoleon
