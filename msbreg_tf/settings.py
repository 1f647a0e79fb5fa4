"""How a setting is declared: once, as a field of a frozen dataclass; everything else is made of it.

    class LossSettings(Settings):
        temperature: float = setting(0.1, "Width of the softmax.", above=0, source="Wu et al.")

gives the flag `--temperature`, its line in `--help`, the reading of its text, the check of its
value, the message of that check, whether a resumed run may change it, and its place in the protocol
that a measured value is stamped with. Nothing here imports TensorFlow.
"""

import dataclasses
import math
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Optional

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_LISTS = {int: "whole numbers", float: "numbers", str: "texts"}
_BOOLS = {"true": True, "t": True, "1": True, "yes": True}
_BOOLS |= {"false": False, "f": False, "0": False, "no": False}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What `setting` says of a field; see there."""

    help: str
    unit: str
    source: str
    choices: Optional[Collection[str]]
    also: tuple[str, ...]
    low: Optional[float]
    high: Optional[float]
    above: Optional[float]
    below: Optional[float]
    changes_result: bool
    flag: Optional[str]


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    source: str = "",
    choices: Optional[Collection[str]] = None,
    also: tuple[str, ...] = (),
    low: Optional[float] = None,
    high: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
    changes_result: bool = True,
    flag: Optional[str] = None,
) -> Any:
    """Declares a field of a `Settings` dataclass.

    The field's type is str, int, float, bool, an Optional of one of these, or a list:
    tuple[int, ...], tuple[float, ...] or tuple[str, ...], which the command line writes joined by
    commas. A list may be empty only if its default is.

    Args:
      default: value when the flag is not given.
      help: what it does, in full sentences.
      unit: of a number: "pixels", "MiB", "epochs".
      source: where default or meaning come from: "supplement 1.1", "Table 5", "ours".
      choices: allowed strings; a table serves as well, and is looked into at each check.
      also: of a switch: words that it takes besides true and false; its type is then
        Union[bool, str].
      low: smallest allowed number, itself included.
      high: largest allowed number, itself included.
      above: the number must be larger than this.
      below: the number must be smaller than this.
      changes_result: False for paths, devices and the like: a resumed run may change them, and no
        protocol is stamped with them.
      flag: name on the command line; by default the field's own.
    """
    declared = Setting(
        help, unit, source, choices, also, low, high, above, below, changes_result, flag
    )
    return dataclasses.field(default=default, metadata={"setting": declared})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings: an instance that exists has valid values."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))

    def values(self) -> dict[str, Any]:
        """{field: value} of all settings."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def result_values(self) -> dict[str, Any]:
        """{field: value} of the settings that decide a result: what a resumed run must repeat."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if declared(field).changes_result
        }

    def stamp(self) -> dict[str, Any]:
        """`result_values` as plain JSON values, for the protocol of a measured value."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.result_values().items()
        }


def declared(field: dataclasses.Field) -> Setting:
    """What was declared of a field."""
    return field.metadata["setting"]


def flag_name(field: dataclasses.Field) -> str:
    """The field's name on the command line."""
    return declared(field).flag or field.name


def flagged(settings: type[Settings]) -> Iterator[tuple[str, dataclasses.Field]]:
    """(flag name, field) of every setting of a class, in the order of declaration."""
    for field in dataclasses.fields(settings):
        yield flag_name(field), field


def from_flags(settings: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Builds settings from {flag name: value}; flags that are missing keep their defaults.

    Raises:
      ValueError: a value breaks a rule; the message names flag, value and what was expected.
    """
    named = {field.name: values[flag] for flag, field in flagged(settings) if flag in values}
    return settings(**named)


def parse(field: dataclasses.Field, text: str) -> Any:
    """Reads a value as the command line writes it.

    Raises:
      ValueError: the text is no value of the field's type; says what was expected.
    """
    kind, is_list = _kind(field)
    if text.strip().lower() in declared(field).also:
        return text.strip().lower()
    try:
        if is_list:
            parts = [part.strip() for part in text.split(",")] if text.strip() else []
            return tuple(dict.fromkeys(_one(kind, part) for part in parts))
        return _one(kind, text)
    except ValueError:
        raise ValueError(f"expected {_expected(field)}.") from None


def written(value: Any) -> str:
    """A value as the command line writes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def is_bool(field: dataclasses.Field) -> bool:
    """Whether the field is a switch."""
    return _kind(field) == (bool, False)


def described(field: dataclasses.Field) -> str:
    """What `--help` says of a field: meaning, unit or choices, range and source."""
    s = declared(field)
    parts = [s.help]
    if choices := s.choices or (("true", "false", *s.also) if s.also else ()):
        parts.append(f"One of: {', '.join(choices)}.")
    if facts := ", ".join(filter(None, [f"in {s.unit}" if s.unit else "", _range(field)])):
        parts.append(f"{facts[0].upper()}{facts[1:]}.")
    if s.source:
        parts.append(f"({s.source[0].upper()}{s.source[1:]}.)")
    return " ".join(parts)


def check(field: dataclasses.Field, value: Any) -> None:
    """Refuses a value outside the field's range.

    Raises:
      ValueError: names the flag, the value and what was expected.
    """
    if value is None and field.default is None:
        return
    s, (_, is_list) = declared(field), _kind(field)
    elements = value if is_list else (value,)
    allowed_empty = is_list and not field.default
    if not ((elements or allowed_empty) and all(_is_allowed(s, each) for each in elements)):
        raise ValueError(f"--{flag_name(field)}={written(value)}: expected {_expected(field)}.")


def _is_allowed(s: Setting, value: Any) -> bool:
    if s.choices is not None:
        return value in s.choices
    if s.also:
        return isinstance(value, bool) or value in s.also
    if not isinstance(value, (int, float)):
        return value is not None
    return (
        math.isfinite(value)
        and (s.low is None or value >= s.low)
        and (s.high is None or value <= s.high)
        and (s.above is None or value > s.above)
        and (s.below is None or value < s.below)
    )


def _expected(field: dataclasses.Field) -> str:
    s, (kind, is_list) = declared(field), _kind(field)
    if s.choices:
        return f"one of {', '.join(s.choices)}"
    if s.also:
        return f"one of true, false, {', '.join(s.also)}"
    words, limits = _WORDS[kind], _range(field)
    if is_list:
        each = f", each {limits}" if limits else ""
        example = (
            f", such as --{flag_name(field)}={written(field.default)}" if field.default else ""
        )
        return f"{_LISTS[kind]} joined by commas{each}{example}"
    return f"{words}, {limits}" if limits else words


def _range(field: dataclasses.Field) -> str:
    s = declared(field)
    limits = (
        ("at least", s.low),
        ("more than", s.above),
        ("at most", s.high),
        ("less than", s.below),
    )
    return " and ".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)


def _kind(field: dataclasses.Field) -> tuple[type, bool]:
    """(element type, whether it is a list); Optional[x] is x."""
    arguments = [a for a in typing.get_args(field.type) if a is not type(None)]
    is_list = typing.get_origin(field.type) is tuple
    return (arguments[0] if arguments else field.type), is_list


def _one(kind: type, text: str) -> Any:
    text = text if kind is str else text.strip()
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise ValueError(text)
        return _BOOLS[text.lower()]
    return kind(text)
