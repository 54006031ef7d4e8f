"""Counts, names, sizes and times in words, for messages and pages."""

from collections.abc import Collection

PLURAL_ENDINGS = {"people": "person", "sses": "ss", "xes": "x", "ies": "y", "s": ""}  # and of the singular
VERBS_OF_ONE = {"are": "is", "were": "was", "have": "has", "hold": "holds", "lie": "lies", "lead": "leads"}
VERBS_OF_ONE |= {"leave": "leaves", "give": "gives"}


def one_line(message: object) -> str:
    """Write *message* on one line that a terminal shows as it is: without line ends and escape sequences.

    >>> print(one_line("no class called 'a\\nb'"), one_line("\\x1b[31mred"))
    no class called 'a\\nb' \\x1b[31mred
    """
    text = str(message).strip()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plain_line(text: str) -> str:
    """Return *text* with single blanks between words, and with escapes for what no terminal shows.

    >>> plain_line("line 1\\n  line 2")
    'line 1 line 2'
    """
    return one_line(" ".join(text.split()))


def examples(names: Collection[str], limit: int = 3) -> str:
    """Return the first few of *names* as text.

    >>> examples(["a", "b", "c", "d"])
    'a, b, c …'
    """
    first = list(names)[:limit]
    shown = [one_line(name) if name == name.strip() else repr(name) for name in first]  # 'cat '
    return ", ".join(shown) + (" …" if len(names) > limit else "")


def quoted(name: str) -> str:
    """Return *name* for a list of names and counts: in quotation marks where it would be misread.

    >>> quoted("cat"), quoted("cat "), quoted("dog, big")
    ('cat', "'cat '", "'dog, big'")
    """
    return one_line(name) if name == name.strip() and ", " not in name else repr(name)


def shortened(text: str, width: int) -> str:
    """Return *text* in at most *width* characters.

    >>> shortened("bottom-up@9", 11), shortened("bottom-up@9", 7)
    ('bottom-up@9', 'bottom…')
    """
    return text if len(text) <= width else f"{text[: width - 1]}…"


def counted(count: int, words: str) -> str:
    """Write *count* before *words*, a noun in the plural and what follows it, in the singular for 1.

    >>> counted(1200, "images"), counted(1, "class folders hold"), counted(1, "links that lead nowhere")
    ('1,200 images', '1 class folder holds', '1 link that leads nowhere')
    >>> counted(1, "without a label")
    '1 without a label'
    """
    if count != 1:
        return f"{count:,} {words}"
    parts = words.split(" ")
    noun = next((number for number, word in enumerate(parts) if _plural_ending(word)), None)
    if noun is None:
        return f"1 {words}"
    ending = _plural_ending(parts[noun])
    parts[noun] = parts[noun].removesuffix(ending) + PLURAL_ENDINGS[ending]
    for number, word in enumerate(parts[noun + 1 : noun + 3], noun + 1):
        if word != "that":
            parts[number] = VERBS_OF_ONE.get(word, word)
            break
    return f"1 {' '.join(parts)}"


def _plural_ending(word: str) -> str:
    """Return the ending of PLURAL_ENDINGS that *word* has; '' for a word in the singular."""
    if word.endswith("ss"):
        return ""
    return next((ending for ending in PLURAL_ENDINGS if word.endswith(ending)), "")


def readable(count: int) -> str:
    """Write bytes for people.

    >>> readable(3 * 2**30), readable(5 * 2**20)
    ('3.0 GiB', '5 MiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.0f} MiB"


A_FEW_SECONDS = "a few seconds"


def duration(minutes: float) -> str:
    """Write a time for people.

    >>> duration(0.01), duration(0.2), duration(7.26), duration(300), duration(10_000)
    ('a few seconds', '12 seconds', '7.3 minutes', '5.0 hours', '6.9 days')
    """
    seconds = round(60 * minutes)
    if seconds < 10:
        return A_FEW_SECONDS  # to start and to load libraries takes as long
    if seconds < 60:
        return f"{seconds} seconds"
    if minutes < 120:
        return f"{minutes:.1f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def about(minutes: float) -> str:
    """Write a time that is estimated: *about 12 seconds*, or *a few seconds*."""
    time = duration(minutes)
    return time if time == A_FEW_SECONDS else f"about {time}"
