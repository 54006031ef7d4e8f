"""Settings that people write in YAML or Python: turned into specs, or refused in one line."""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from itl.errors import ItlError, no_such, one_of
from itl.spec_checks import TYPE_WORDS
from itl.storage import read_yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import ValidationError

T = TypeVar("T", bound="DataclassInstance")

WORDS_OF_PYDANTIC = TYPE_WORDS | {
    "string": "text",
    "list": "a list",
    "dict": "a mapping",
    "dataclass": "a mapping",
}
LIMIT_WORDS = {"greater_than_equal": "at least {ge}", "greater_than": "above {gt}"}  # as pydantic names them
LIMIT_WORDS |= {"less_than_equal": "at most {le:,}", "less_than": "below {lt:,}"}


def spec_of(kind: type[T], settings: object, what: str) -> T:
    """Make a spec of *kind* from plain *settings*, as in YAML; return a spec unchanged.

    Raises:
        ItlError: for a name or a choice that the spec does not have, with the nearest one, for a value of
            another type, and for what *kind* itself refuses.
    """
    from pydantic import TypeAdapter, ValidationError  # here: only settings of people need it

    if isinstance(settings, kind):
        return settings
    if not isinstance(settings, Mapping):
        raise ItlError(f"{what} should be a mapping of settings, not {settings!r}")
    for name in settings:
        if not isinstance(name, str):  # YAML reads {lr: 0,05} as two settings
            if isinstance(name, bool):
                raise ItlError(
                    f"{what} has {name!r} for a setting, as YAML reads on, off, yes and no; quote it"
                )
            raise ItlError(
                f"{what} has the number {name!r} for a setting; write decimals with a dot, as 0.05"
            )
        one_of((entry.name for entry in fields(kind)), name, f"setting of {what}")
    hints = get_type_hints(kind)
    for name, value in settings.items():
        hint = hints[name]
        refuse_booleans(hint, value, f"{name} of {what}")
        holds_pairs = get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is tuple
        if holds_pairs and not isinstance(value, Mapping | tuple):
            raise ItlError(f"{name} of {what} should be a mapping, {{NAME: VALUE}}, not {value!r}")
    pairs = {name: tuple(value.items()) for name, value in settings.items() if isinstance(value, Mapping)}
    try:
        return TypeAdapter(kind).validate_python({**settings, **pairs})
    except ValidationError as error:
        raise plain_error(error, kind, what, settings) from None


def plain_value(value: object, what: str) -> object:
    """Return *value* with NumPy's numbers and arrays as Python's, also in lists; raise ItlError for a set."""
    if isinstance(value, set | frozenset):
        raise ItlError(f"{what} is a set, which has no order; give a list: the first may be the main one")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return [plain_value(item, what) for item in value]
    return value


def refuse_booleans(annotation: object, value: object, what: str) -> None:
    """Raise ItlError for yes or no in *value*, a number by *annotation*: pydantic would take 1 or 0."""
    types = set(_types_in(annotation))
    if not types & {int, float} or types & {bool, object, Any}:
        return
    wanted = TYPE_WORDS["float" if float in types else "int"]
    parts: Mapping[str, object] = {"": value}
    if isinstance(value, Mapping):
        parts = {f"item {name} of ": item for name, item in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"item {number} of ": item for number, item in enumerate(value, 1)}
    for part, item in parts.items():
        if isinstance(item, bool):
            raise ItlError(f"{part}{what} should be {wanted}, not {item}")


def _types_in(annotation: object) -> list[object]:
    """Return the types that *annotation*, such as tuple[float, ...] | None, is made of."""
    return [kind for inner in get_args(annotation) for kind in _types_in(inner)] or [annotation]


def plain_error(
    error: "ValidationError", kind: type, what: str, settings: Mapping[str, object] = MappingProxyType({})
) -> ItlError:
    """Return the first fault that pydantic saw in *what*, *settings* of a *kind*, as one line.

    A mapping in *settings* was given to pydantic as pairs: number, then 0 for its name and 1 for its value.
    """
    faults = error.errors()
    (name, *inside), first = faults[0]["loc"] or ("",), faults[0]
    if isinstance(cause := first.get("ctx", {}).get("error"), ItlError):
        return cause if name else ItlError(f"{what}: {cause}")
    if first["type"] == "missing" and not inside:
        missing = [str(one["loc"][0]) for one in faults if one["type"] == "missing" and len(one["loc"]) == 1]
        return ItlError(f"{what} lacks {len(missing)} of its settings; add {', '.join(missing)}")
    if first["type"] == "missing":  # of a list of so many items
        return ItlError(f"{name} of {what} lacks its item {int(inside[-1]) + 1}; it is {first['input']!r}")
    if first["type"] == "literal_error":
        return no_such(_choices(get_type_hints(kind)[str(name)]), first["input"], f"{name} of {what}")
    if inside and isinstance(given := settings.get(str(name)), Mapping):
        number, part = inside[:2]
        inside = [str(list(given)[int(number)]), *(["[key]"] if part == 0 else [])]
    in_name = inside[-1:] == ["[key]"]  # before it stands the name itself
    outer = inside[:-2] if in_name else inside
    items = "".join(f"item {part + 1 if isinstance(part, int) else part} of " for part in reversed(outer))
    items = f"a name in {items}" if in_name else items
    wanted = WORDS_OF_PYDANTIC.get(first["type"].partition("_")[0])
    if first["type"] in LIMIT_WORDS:
        wanted = LIMIT_WORDS[first["type"]].format(**first["ctx"])
    reason = f"should be {wanted}, not" if wanted else f"cannot be ({first['msg'].lower()})"
    return ItlError(f"{items}{name} of {what} {reason} {first['input']!r}")


def _choices(annotation: object) -> tuple:
    """Return what the Literal in *annotation*, such as tuple[Literal["a", "b"], ...], lists."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((choices for inner in get_args(annotation) if (choices := _choices(inner))), ())


def options_as_settings(text: str) -> str:
    """Write the options that *text* offers, as commands take them, as a preset does.

    >>> options_as_settings("choose: --option splits=none --option class_level=2 (2 classes)")
    'choose: options: {splits: none, class_level: 2} (2 classes)'
    """
    import yaml  # here: kernels alone do without it

    def settings(match: re.Match[str]) -> str:
        pairs = (word.partition("=")[::2] for word in shlex.split(match[0]) if word != "--option")
        values = {name: read_yaml(value, f"--option {name}") for name, value in pairs}
        written = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=999)
        return f"options: {written.strip()}"

    option = r"""--option (?:'[^']*'|"[^"]*"|[^\s;`)'"])+"""  # a word as shlex.quote writes it
    return re.sub(f"{option}( {option})*", settings, text)
