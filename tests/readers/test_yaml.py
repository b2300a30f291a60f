import math
import os

import pytest
import yaml

from salign.errors import SalignError
from salign.readers import parse_yaml, read_yaml, yaml as module

NINE = ",".join(["*{}"] * 9)


def levels(first, next_one):
    """Eight lists or mappings, each nine times the one before: 9 ** 8 values in a kilobyte."""
    return first + "".join(next_one(before, name) for before, name in zip("abcdefgh", "bcdefghi", strict=True))


LAUGHS = levels(
    "a: &a [x, x, x, x, x, x, x, x, x]\n", lambda before, name: f"{name}: &{name} [{NINE}]\n".replace("{}", before)
)
MERGED = levels("a: &a {x: 1}\n", lambda before, name: f"{name}: &{name} {{<<: [{NINE}]}}\n".replace("{}", before))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LAUGHS, r"f line \d: more than 100,000 values, each alias counted with all that it stands for"),
        (MERGED, r"f line \d: more than 100,000 values"),
        ("- 1\n" * 100_001, "f line 100000: more than 100,000 values"),
        ("&a [*a]", r"f line 1: \*a stands for nothing that came to its end before"),
        ("a: *b", r"f line 1: \*b stands for nothing"),
        ("[" * 100_000, "f: expected a YAML recipe; .*nesting"),
        ("[a, " * 100, "f line 1: nested too deeply; expected at most 64 levels"),
        ("- " * 100_000, "f line 1: nested too deeply; expected at most 64 levels"),
        ("{a: " * 100_000, "f line 1: nested too deeply"),
        ("a: 1\nb: 2\na: 1", "f line 3: the key 'a' occurs twice in one mapping; keep one of the two"),
        ("a: {b: 1, 'b': 2}", "f line 1: the key 'b' occurs twice"),
        ("1: a\n'1': b", "f line 2: the key '1' occurs twice"),
        ("? [a]\n: 1", "f line 1: expected a name as the key of a mapping"),
        ("a: &x b\n*x : 1", "f line 2: expected a name as the key of a mapping"),
        (
            "!!python/object/apply:os.system ['true']",
            "f line 1: the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("!!binary aGk=", "f line 1: the tag tag:yaml.org,2002:binary is not read; write the value without it"),
        ("!!int '010'", "the tag tag:yaml.org,2002:int is not read"),
        ("a: b\n---\nc: d", "f: expected a YAML recipe; expected a single document"),
        ("a: [", "f: expected a YAML recipe; while parsing a flow node"),
        ("\0", "f: expected a YAML recipe; .*control characters"),
        ('"\\uD800"', "f: expected a YAML recipe"),
        ("9" * 5000, "f: expected a YAML recipe; Exceeds the limit"),
    ],
    ids=lambda value: value[:20] if "\n" not in value else "lines",
)
def test_what_is_refused(text, complaint):
    with pytest.raises(SalignError, match=complaint):
        parse_yaml(text, "f", "recipe")


@pytest.mark.parametrize(
    "written",
    ["010", "001", "-017", "0b11", "0x1f", "1:30", "190:20:30", "1:30.5", "1_000", "1_000.5", "2024_01", "0_7"],
)
def test_a_number_that_may_mean_two_things_is_refused_unless_it_is_quoted(written):
    for text in (f"seed: {written}", f"names: [a, {written}]", f"a:\n- {written}", f"{written}: a"):
        with pytest.raises(SalignError, match=rf"{written} may mean two things in YAML; quote it if it is a name \('"):
            parse_yaml(text, "f")
    for text in (f"'{written}'", f'"{written}"', f"!!str {written}", f"|-\n  {written}"):
        assert parse_yaml(text, "f") == written
    assert not isinstance(yaml.safe_load(written), str)  # what YAML 1.1 makes of it


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("a:", {"a": None}), ("true", True), ("FALSE", False),
        ("0", 0), ("-12", -12), ("+3", 3), ("1.5", 1.5), ("-.5", -0.5), ("2.", 2.0), ("1.0e-05", 1e-05),
        ("-.inf", -math.inf), ("009", "009"), ("08", "08"), ("1e-3", "1e-3"), ("09:30", "09:30"), ("_", "_"),
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("OFF", "OFF"), ("y", "y"), ("2026-01-02", "2026-01-02"),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:05"), ("=", "="), ("None", "None"), ("'true'", "true"),
        ("{a: &x {b: 1}, c: *x, d: {<<: *x, e: 2}}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}),
        ("d: {<<: {b: 1, c: 2}, b: 3}", {"d": {"b": 3, "c": 2}}),
        ("{no: 1, 5: 2, true: 3}", {"no": 1, 5: 2, True: 3}),
    ],
)  # fmt: skip
def test_plain_values(text, value):
    found = parse_yaml(text, "f")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["010", "no", "1:30", "2026-01-02", "1e3", "null", "", "a: b", "=", "-", "1_0", "ä"])
def test_text_written_by_pyyaml_comes_back(text):
    assert parse_yaml(yaml.safe_dump({"a": text, "b": [text], text: 1}), "f") == {"a": text, "b": [text], text: 1}


def test_the_limits_are_just_above_what_is_read():
    assert parse_yaml("[" * 64 + "]" * 64, "f") is not None
    assert len(parse_yaml("- 1\n" * 99_999, "f")) == 99_999


def test_a_file(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\r\n")
    assert read_yaml(path) == {"a": "ä"}
    with path.open("wb") as file:
        file.truncate(module.MAX_BYTES + 1)
    with pytest.raises(SalignError, match=r"f\.yaml: 2 MB; a file of this kind has at most 2 MB"):
        read_yaml(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SalignError, match=r"f\.yaml is a named pipe; expected a file"):
        read_yaml(path)


def test_it_reads_the_same_where_libyaml_was_not_built():
    assert issubclass(module._Loader, yaml.constructor.SafeConstructor)

    class Pure(yaml.SafeLoader):
        yaml_implicit_resolvers = module._Loader.yaml_implicit_resolvers

    for text in ("{a: yes, b: 2026-01-02, c: [1, 2.5, ~, true, 009]}", "a: &x {b: 1}\nc: *x\n"):
        assert yaml.load(text, Loader=Pure) == parse_yaml(text, "f")
