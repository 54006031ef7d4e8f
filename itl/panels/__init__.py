"""Panels to explore with in JupyterLab: controls over pictures that stay where nothing runs."""
