"""Regular expression of a line of JSON that all parsers read alike.

An object without lone surrogates, huge numbers and deep nesting: its values are scalars, lists of scalars, and objects
of both.
"""

_ESCAPE = (
    r'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_TEXT = rf'"(?:[^"\\\x00-\x1f]|{_ESCAPE})*"'
_NUMBER = r"(?:0|-?[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?"
_SCALAR = rf"(?:{_TEXT}|{_NUMBER}|true|false|null)"
_BLANKS, _COMMA, _COLON = r"[ \t]*", r"[ \t]*,[ \t]*", r"[ \t]*:[ \t]*"


def _join(value: str) -> str:
    """Pattern of one or more values, separated by commas."""
    return f"{value}(?:{_COMMA}{value})*"


_LIST = rf"\[{_BLANKS}(?:{_join(_SCALAR)})?{_BLANKS}\]"
_INNER_PAIR = f"{_TEXT}{_COLON}(?:{_SCALAR}|{_LIST})"
_INNER_OBJECT = rf"\{{{_BLANKS}(?:{_join(_INNER_PAIR)})?{_BLANKS}\}}"
_PAIR = f"{_TEXT}{_COLON}(?:{_SCALAR}|{_LIST}|{_INNER_OBJECT})"
PLAIN_OBJECT = rf"^{_BLANKS}\{{{_BLANKS}{_join(_PAIR)}{_BLANKS}\}}{_BLANKS}$"
