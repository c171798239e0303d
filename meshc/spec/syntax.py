"""Say in the user's terms what libyaml says in the terms of its grammar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """How one of the parser's complaints reads.

    ``at_opening`` moves it from the place where the parser noticed to the place where the
    construct began, which for a forgotten quote is where people must look.  ``opening`` names
    that place where both matter.
    """

    message: str
    hint: str
    at_opening: bool = False
    opening: str | None = None


_INDENT = "keys that belong together start in the same column, and what belongs below is deeper"
_QUOTES = "put the text in single quotes"

_TAB = Wording("this line is indented with a tab", "indent with spaces")
_DIRECTIVE = Wording(
    'a line that starts with "%" is a directive, which specs do not have',
    "remove the line; specs are read as YAML 1.2",
    at_opening=True,
)

# Keyed by libyaml's `problem`.  PyYAML's own parser, used where the C extension is missing, has
# its own texts; those that differ are answered by `_UNKNOWN`.
_WORDINGS: dict[str, Wording] = {
    "mapping values are not allowed in this context": Wording(
        'this ":" does not follow a key',
        "put a text that contains a colon in quotes, write a space after the colon of a key, and "
        "start keys that belong together in the same column",
    ),
    "could not find expected ':'": Wording(
        'this key has no ":"',
        'write "key: value", or "- item" with the space, or indent the rest of a longer text',
        at_opening=True,
    ),
    "block sequence entries are not allowed in this context": Wording(
        'a list item "-" cannot start here',
        "write each item on its own line below the key, or put the text in quotes",
    ),
    "mapping keys are not allowed in this context": Wording(
        'a key "?" cannot start here', 'write "key: value" on its own line'
    ),
    "did not find expected key": Wording(
        "the text here is not a key and does not belong to the value before it",
        _INDENT + "; nothing may follow a closing quote or bracket",
        opening="the mapping starts here",
    ),
    "did not find expected '-' indicator": Wording(
        'the text here is not an item of the list: it does not start with "-"',
        "start every item in the same column, and what belongs to an item deeper than its dash",
        opening="the list starts here",
    ),
    "did not find expected ',' or ']'": Wording(
        'a "," or "]" is missing',
        'separate items with a comma and close the list with "]"',
        opening='the list is opened by this "["',
    ),
    "did not find expected ',' or '}'": Wording(
        'a "," or "}" is missing',
        'separate entries with a comma and close the mapping with "}"',
        opening='the mapping is opened by this "{"',
    ),
    "did not find expected node content": Wording(
        "a value is missing here", "remove the extra comma or bracket, or write the value"
    ),
    "did not find expected <document start>": Wording(
        "the text here does not belong to what is above it",
        'write "key: value" on each line; ' + _INDENT,
    ),
    "found character that cannot start any token": Wording(
        "a value cannot start with this character",
        'put a text that starts with "@", "`" or "%" in quotes',
    ),
    "found unexpected end of stream": Wording(
        "this quote is never closed",
        "close it, or double a single quote inside single quotes",
        at_opening=True,
    ),
    "found unexpected document indicator": Wording(
        'this quote is not closed before the next "---" or "..."', "close it", at_opening=True
    ),
    "found unknown escape character": Wording(
        "the character after this backslash has no meaning inside double quotes",
        "use single quotes, in which a backslash is a backslash, or write it twice",
    ),
    "did not find expected hexdecimal number": Wording(
        "this escape has too few hexadecimal digits",
        r"write \x and two digits, \u and four, or \U and eight",
    ),
    "found invalid Unicode character escape code": Wording(
        "this escape is not a character",
        r"write the character itself, or \U and the eight digits of its code point; a pair of "
        r"\u escapes is JSON, for which the file must be named .json",
    ),
    "did not find expected comment or line break": Wording(
        'the text after "|" or ">" must start on the next line',
        _QUOTES + ' if it starts with "|" or ">"',
    ),
    "found an indentation indicator equal to 0": Wording(
        "an indentation of 0 is not possible here", 'remove the "0"'
    ),
    "found a tab character where an indentation space is expected": _TAB,
    "found a tab character that violates indentation": _TAB,
    "found a tab character that violate indentation": _TAB,
    "did not find expected alphabetic or numeric character": Wording(
        'a value cannot start with "*" or "&"', _QUOTES
    ),
    "did not find expected whitespace or line break": Wording(
        'a value cannot start with "!"', _QUOTES
    ),
    "did not find expected '!'": Wording('a value cannot start with "!"', _QUOTES),
    "did not find expected tag URI": Wording('a value cannot start with "!"', _QUOTES),
    "did not find the expected '>'": Wording('a value cannot start with "!"', _QUOTES),
    "did not find URI escaped octet": Wording('a value cannot start with "!"', _QUOTES),
    "found undefined tag handle": Wording('a value cannot start with "!"', _QUOTES),
}
_UNKNOWN = Wording("this is not YAML", "look for a missing quote, colon, bracket or space")


def wording(context: str | None, problem: str | None, character: str) -> Wording:
    """Return how a complaint reads; ``character`` is the one it points at."""
    if character == "\t" and problem is not None and "cannot start any token" in problem:
        return _TAB
    if (context or "").endswith("directive"):
        return _DIRECTIVE
    return _WORDINGS.get(problem or "", _UNKNOWN)
