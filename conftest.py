"""What holds for examples in docstrings and tests alike: names, and how they are collected."""

import gc

import pytest

from tests.conftest import small_taxonomy

gc.disable()  # a million objects are imported, and stay: to look through them takes half of the time


def pytest_collection_finish() -> None:
    """Look for garbage again, among what is made from now on."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def example_names(doctest_namespace: dict[str, object]) -> None:
    """Let examples in docstrings use *tree*, the taxonomy of ten synsets that the tests use too."""
    doctest_namespace["tree"] = small_taxonomy()
