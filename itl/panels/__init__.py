"""Panels for exploring in JupyterLab: controls, and pictures that remain where no kernel runs."""
