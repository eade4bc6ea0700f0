"""Values of several parts in one word: read back what is written, and every mistake named."""

import pytest

from nbragg.base.errors import InputError
from nbragg.cli.specs import Kind, read_spec, spec_text

KEYS: dict[str, Kind] = {
    "thick": "float",
    "segments": "int",
    "name": "text",
    "path": "pair",
    "axis": "triple",
    "polygon": "pairs",
    "unit": ("stol", "Q"),
}


def test_every_kind_is_read_as_it_is_written() -> None:
    head = "water"
    values: dict[str, object] = {
        "thick": 0.1,
        "segments": 3,
        "name": "a b",
        "path": (-30.0, 8e-3),
        "axis": (1.0, 0.0, -0.5),
        "polygon": ((0.0, 1.0), (2.0, 3.0), (1 / 3, 5.0)),
        "unit": "Q",
    }
    assert read_spec("-x", spec_text(head, values), KEYS) == (head, values)
    assert read_spec("-x", spec_text("", values), KEYS) == ("", values)
    assert read_spec("-x", "water", KEYS) == ("water", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("water,thik=1", "did you mean 'thick'"),
        ("water,zzzzz=1", "known: thick, segments"),
        ("water,thick", "must be key=value, with a key of thick"),
        ("water,thick=", "must be key=value"),
        ("water,", "must be key=value"),
        ("water,thick=1,thick=2", "thick is given twice"),
        ("water,thick=1mm", '"1mm" is not a number'),
        ("water,thick=nan", "not a finite number"),
        ("water,segments=1.5", "not a whole number"),
        ("water,path=1", "must be 2 numbers with a colon"),
        ("water,axis=1:2", "must be 3 numbers with a colon"),
        ("water,polygon=1:2:3", "an even number of numbers"),
        ("water,unit=q", '"q" is not one of stol, Q'),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_spec("-x", text, KEYS)
    assert said in str(error.value)
    assert str(error.value).startswith(f"-x {text}")
