"""How a setting is declared, and all that is made of it."""

import dataclasses
from typing import Optional, Union

import pytest

from msbreg_tf.settings import (
    Settings,
    described,
    flag_name,
    flagged,
    from_flags,
    is_bool,
    parse,
    setting,
    written,
)


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    """One setting of every kind."""

    side: int = setting(32, "Side of it.", unit="pixels", low=8, high=64, source="table 1")
    rate: float = setting(0.5, "How fast.", above=0, below=1)
    shape: str = setting("round", "Its form.", choices=("round", "square"))
    place: Optional[str] = setting(None, "Where it is.", changes_result=False)
    limit: Optional[int] = setting(None, "At most so many.", low=1)
    slow: bool = setting(False, "Whether it takes its time.")
    grid: tuple[float, ...] = setting((0.1, 1.0), "Rates to try.", above=0)
    counts: tuple[int, ...] = setting((3,), "Numbers.", low=1, flag="numbers")
    names: tuple[str, ...] = setting((), "Who takes part.", changes_result=False)
    quiet: Union[bool, str] = setting(False, "Whether it is quiet.", also=("auto",))


FIELDS = {field.name: field for field in dataclasses.fields(Example)}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("side", " 12 ", 12),
        ("rate", "1e-2", 0.01),
        ("shape", "square", "square"),
        ("place", "a b", "a b"),
        ("limit", "3", 3),
        ("slow", "TRUE", True),
        ("slow", "0", False),
        ("grid", "0.3, 0.1,0.3", (0.3, 0.1)),
        ("counts", "7", (7,)),
        ("names", "a, b", ("a", "b")),
        ("names", "", ()),
        ("quiet", "yes", True),
        ("quiet", "Auto", "auto"),
    ],
)
def test_texts_are_read(name, text, value):
    assert parse(FIELDS[name], text) == value
    assert type(parse(FIELDS[name], text)) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("side", "1.5", "expected a whole number, at least 8 and at most 64."),
        ("rate", "fast", "expected a number, more than 0 and less than 1."),
        ("slow", "maybe", "expected true or false."),
        ("grid", "0.1,x", "expected numbers joined by commas, each more than 0, such as "
         "--grid=0.1,1.0."),
        ("counts", "1,2.5", "expected whole numbers joined by commas, each at least 1, such as "
         "--numbers=3."),
    ],
)  # fmt: skip
def test_other_texts_are_refused(name, text, expected):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - compared whole
        parse(FIELDS[name], text)
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 7}, "--side=7: expected a whole number, at least 8 and at most 64."),
        ({"side": 65}, "--side=65: expected a whole number, at least 8 and at most 64."),
        ({"rate": 0.0}, "--rate=0.0: expected a number, more than 0 and less than 1."),
        ({"rate": 1.0}, "--rate=1.0: expected a number, more than 0 and less than 1."),
        ({"rate": float("nan")}, "--rate=nan: expected a number, more than 0 and less than 1."),
        ({"rate": float("inf")}, "--rate=inf: expected a number, more than 0 and less than 1."),
        ({"shape": "flat"}, "--shape=flat: expected one of round, square."),
        ({"limit": 0}, "--limit=0: expected a whole number, at least 1."),
        ({"side": None}, "--side=None: expected a whole number, at least 8 and at most 64."),
        ({"grid": ()}, "--grid=: expected numbers joined by commas, each more than 0, such as "
         "--grid=0.1,1.0."),
        ({"grid": (0.1, -1.0)}, "--grid=0.1,-1.0: expected numbers joined by commas, each more "
         "than 0, such as --grid=0.1,1.0."),
        ({"counts": (0,)}, "--numbers=0: expected whole numbers joined by commas, each at least 1, "
         "such as --numbers=3."),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused(changes, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - compared whole
        Example(**changes)
    assert str(error.value) == message


def test_values_at_the_limits_are_accepted():
    for changes in ({"side": 8}, {"side": 64}, {"limit": 1}, {"limit": None}, {"names": ()}):
        Example(**changes)


def test_what_decides_a_result_and_what_is_stamped():
    example = Example(place="here", names=("a",), grid=(0.2,))
    assert example.values()["place"] == "here"
    assert example.result_values().keys() == FIELDS.keys() - {"place", "names"}
    assert example.stamp()["grid"] == [0.2]
    assert example.stamp()["side"] == 32


def test_flags_have_the_names_of_fields_or_their_own():
    assert [name for name, _ in flagged(Example)][-3:] == ["numbers", "names", "quiet"]
    assert flag_name(FIELDS["counts"]) == "numbers"
    assert from_flags(Example, {"numbers": (5,), "side": 9}) == Example(counts=(5,), side=9)
    assert [name for name, field in FIELDS.items() if is_bool(field)] == ["slow", "quiet"]


def test_help_says_meaning_choices_unit_range_and_source():
    assert described(FIELDS["side"]) == (
        "Side of it. In pixels, at least 8 and at most 64. (Table 1.)"
    )
    assert described(FIELDS["shape"]) == "Its form. One of: round, square."
    assert described(FIELDS["place"]) == "Where it is."
    assert (written((0.1, 1.0)), written("x"), written(())) == ("0.1,1.0", "x", "")


def test_choices_may_be_a_table_that_grows():
    table = {"a": 1}

    @dataclasses.dataclass(frozen=True)
    class Chosen(Settings):
        """Chosen from a table."""

        kind: str = setting("a", "Which.", choices=table)

    with pytest.raises(ValueError, match="--kind=b: expected one of a"):
        Chosen(kind="b")
    table["b"] = 2
    assert Chosen(kind="b").kind == "b"
