"""Results of several questions in one table."""

import io

import pandas as pd

from itl.runs.results import words_as_text


def test_columns_of_numbers_and_words_are_written_as_text_and_others_as_they_are():
    table = pd.DataFrame(
        {
            "images_per_class": [0, 25, "all"],
            "label_set": ["none", None, "original"],
            "mixed": [1.5, None, "none"],
            "seed": [0, 1, 2],
            "value": [1.5, float("nan"), 2.0],
        }
    )
    file = io.BytesIO()
    words_as_text(table).to_parquet(file, index=False)
    again = pd.read_parquet(io.BytesIO(file.getvalue()))
    assert list(again["images_per_class"]) == ["0", "25", "all"]
    assert [value for value in again["mixed"] if not pd.isna(value)] == ["1.5", "none"]
    assert again["mixed"].isna().tolist() == again["label_set"].isna().tolist() == [False, True, False]
    kept = ["seed", "value"]
    pd.testing.assert_frame_equal(again[kept], table[kept])
