"""What the tests of annotation files share."""

from __future__ import annotations

import json

import pytest

from annotation_samples import SAMPLES, put
from salign.annotations.formats import annotation_format
from salign.annotations.formats.notes import Notes


@pytest.fixture
def read(tmp_path):
    """Write files and read them: the marks by image, and the faults."""

    def reader(form, files, start="", **options):
        for name, content in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = content if isinstance(content, str | bytes) else json.dumps(content)
            path.write_bytes(whole if isinstance(whole, bytes) else whole.encode())
        notes = Notes()
        found = annotation_format(form).read(tmp_path / "in" / start, notes, **options)
        return found, [str(fault) for fault in notes.faults]

    return reader


@pytest.fixture
def read_sample(tmp_path):
    """Write a sample and read it: the marks."""

    def reader(name, **changes):
        of, make = SAMPLES[name]
        sample = make()
        return annotation_format(of).read(put(sample, tmp_path), **(sample.options | changes))

    return reader
