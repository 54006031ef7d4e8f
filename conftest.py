"""Names that the examples in docstrings use."""

import pytest

from tests.conftest import small_taxonomy


@pytest.fixture(scope="session", autouse=True)
def example_names(doctest_namespace: dict[str, object]) -> None:
    """Let examples in docstrings use *tree*, the taxonomy of ten synsets that the tests use too."""
    doctest_namespace["tree"] = small_taxonomy()
