"""The command that a command ends with can be typed as it stands, also in a folder with spaces."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given, settings, strategies as st

from annotate_page import write_images
from command import salign
from salign import location
from salign.location import quote


def test_the_road_can_be_walked_by_what_each_command_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            write_images(tmp_path / "my photos" / split / label, 6)
    init, status = salign("init", "my photos"), salign("status", "my photos")
    assert init.last == "no image has a map yet. Next: salign annotate 'my photos'"
    assert status.last == "Next: salign annotate 'my photos'"
    assert f"salign data check '{tmp_path / 'my photos' / 'manifest.csv'}'" in status.out
    ready = salign("run", "my photos", code=2).err
    assert "Next: salign annotate 'my photos', then salign annotate 'my photos' --merge;" in ready
    assert "salign run 'my photos' --plain" in ready


def test_a_study_goes_on_with_the_values_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "m.csv").write_text("id,path,label,split\n0,0.png,a,train\n1,1.png,b,train\n")
    (tmp_path / "my study.yaml").write_text(
        "name: s\ntarget: train\nrecipe: {data: {manifest: set/m.csv, test: [train]}}\n"
        "grids: [{arms: [ce], seeds: 9}]\n"
    )
    changed = "grids=[{arms: [ce], seeds: 2}]"
    ended = salign("experiment", "my study.yaml", "--set", changed, "--list")
    (said,) = re.findall(r"2 runs are left\. Go on with: (.*)", ended.out)
    assert shlex.split(said) == ["salign", "experiment", "my study.yaml", "--set", changed, "--out", "studies"]
    assert "Next: salign report 'my study.yaml' --out studies" in ended.out


@given(st.text(min_size=1))
@settings(max_examples=200, deadline=None)
def test_a_shell_gets_a_quoted_path_back(text):
    assert shlex.split(quote(text)) == [text]


@pytest.mark.parametrize(("path", "typed"), [(r"C:\photos", r"C:\photos"), (r"C:\my photos", r'"C:\my photos"')])
def test_on_windows_backslashes_stay(path, typed, monkeypatch):
    monkeypatch.setattr(location, "os", type("Windows", (), {"name": "nt"}))
    assert quote(path) == typed
