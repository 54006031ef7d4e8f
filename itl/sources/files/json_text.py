"""JSON as sources read it: complete, each key once, and numbers as pandas writes them."""

import json
import re
from typing import Any

from itl.storage import unique_keys

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character, as JSON writes it


def parse_json(text: str) -> Any:
    """Return the content of the JSON *text*.

    ValueError if it is not valid, an object has a key twice, or a text is no whole characters, which no table
    can hold.
    """
    content = json.loads(text, object_pairs_hook=unique_keys)
    if SURROGATE.search(text):
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{error.object[error.start]!r} is half of a character") from None
    return content


def int_if_whole(value: Any) -> Any:
    """Return the *value* of JSON; as an integer if it is a float without fraction, as pandas writes numbers.

    >>> int_if_whole(3.0), int_if_whole(0.5), int_if_whole("3.0")
    (3, 0.5, '3.0')
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain_id(value: Any) -> Any:
    """Return an id in JSON; as an integer if it is one that some tools write as 3.0 or "3".

    >>> plain_id(3.0), plain_id("3"), plain_id("003")
    (3, 3, '003')
    """
    if not isinstance(value, str):
        return int_if_whole(value)
    is_digits = value.isascii() and value.isdigit() and len(value) < 19  # what 64 bits hold
    return int(value) if is_digits and (value[0] != "0" or value == "0") else value
