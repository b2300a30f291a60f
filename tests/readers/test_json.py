import math

import pytest

from salign.errors import SalignError
from salign.readers import parse_json, read_json

DEEP = 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "f.json is not JSON: Expecting value"),
        ("[1", "f.json is not JSON"),
        ("[" * 1_000_000, "f.json: nested too deeply; expected at most 64 levels"),
        ('{"a":' * 500 + "1" + "}" * 500, "f.json: nested too deeply; expected at most 64 levels"),
        ("[" * (DEEP + 1) + "]" * (DEEP + 1), "f.json: nested too deeply; expected at most 64 levels"),
        ('{"a": 1, "b": 2, "a": 1}', "f.json: the key 'a' occurs twice in one object; keep one of the two"),
        ('[{"x": {"b": 0, "b": 1}}]', "the key 'b' occurs twice"),
        ("[NaN]", "f.json is not JSON: NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ("9" * 5000, "f.json is not JSON: Exceeds the limit"),
        (r'"\ud800"', "f.json is not JSON: .*surrogates not allowed"),
    ],
)
def test_what_is_refused(text, complaint):
    with pytest.raises(SalignError, match=complaint):
        parse_json(text, "f.json")


def test_values_are_plain(tmp_path):
    (tmp_path / "f").write_text('{"a": [1, 2.5, "\\u00e4 [[[", null, true], "b": {"a": {}}}')
    assert read_json(tmp_path / "f") == {"a": [1, 2.5, "ä [[[", None, True], "b": {"a": {}}}
    value = parse_json("[" * DEEP + "]" * DEEP, "f")
    for _ in range(DEEP - 1):
        (value,) = value
    assert value == []


def test_what_python_writes_is_read_where_it_is_asked_for():
    nan, infinity = parse_json("[NaN, -Infinity]", "f", nan=True)
    assert math.isnan(nan)
    assert infinity == -math.inf


def test_a_key_twice_among_a_million_is_found_quickly():
    """Each object is gone through once, not once for each key."""
    text = "{" + ",".join(f'"{k}":0' for k in range(200_000)) + ',"199999":1}'
    with pytest.raises(SalignError, match="the key '199999' occurs twice"):
        parse_json(text, "f")
