"""A set as shards: the samples that the files give, in the layout of WebDataset, and damage told with the shard."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from command import salign, small, written
from salign.data.checks.check import check_file
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.split import groups_of_rows
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import ImageError
from salign.data.reading.transforms import build_transform
from salign.data.shards import write_shards
from salign.errors import SalignError


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Seven images in two splits and two folders; three have a map, two of these one of Ann's, too."""
    folder = tmp_path_factory.mktemp("source")
    draw, rows = np.random.default_rng(0), []
    for k in range(7):
        pixels = draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        name, maps = f"{'deep/' * (k % 2)}{k}.{'JPG' if k < 4 else 'png'}", [None, None]
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
        for who in range((k < 3) + (k < 2)):
            maps[who] = f"map {k} {who}.png"
            Image.fromarray(draw.integers(0, 256, (20, 24), dtype=np.uint8)).save(folder / maps[who])
        rows.append((f"n{k}", name, "ab"[k % 2], "train" if k % 3 else "far away", *maps, "ümlaut" if k else None))
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency", "saliency_ann", "site"])
    return Manifest.of(table, folder)


@pytest.fixture
def sharded(source, tmp_path):
    return write_shards(source, tmp_path / "shards", 3)


def samples(manifest):
    data = SaliencyDataset(manifest, ("a", "b"), build_transform(16, "standard"))
    return [data[k, k] for k in range(len(data))]


def test_samples_and_rows_are_those_of_the_files(source, sharded):
    read = Manifest.read(sharded)
    for one, other in zip(samples(source), samples(read), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.saliency, other.saliency)
    for column in ("id", "label", "split", "site"):
        assert read.table[column].fillna("-").tolist() == source.table[column].fillna("-").tolist()
    anns = [samples(manifest.with_maps("saliency_ann")) for manifest in (source, read)]
    assert all(torch.equal(one.saliency, other.saliency) for one, other in zip(*anns, strict=True))
    assert [bool(sample.annotated) for sample in anns[1]] == [True, True, *[False] * 5]


def test_a_shard_is_read_by_who_knows_nothing_but_the_convention(source, sharded):
    """WebDataset: files of one sample stand together and share what is before the first dot."""
    index = json.loads((sharded.parent / "shards.json").read_text())
    assert {name: shard["rows"] for name, shard in index["shards"].items()} == {
        "far_away-000000.tar": 3, "train-000000.tar": 3, "train-000001.tar": 1,
    }  # fmt: skip
    assert index["rows"] == 7
    found = {}
    for name, shard in index["shards"].items():
        content = (sharded.parent / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
        with tarfile.open(sharded.parent / name) as tar:
            keys = [member.name.partition(".")[0] for member in tar]
            assert keys == sorted(keys)
            for member in tar.getmembers():
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = tar.extractfile(member).read()
    assert sorted(found) == [f"{k:08}" for k in range(7)]
    for k, (key, parts) in enumerate(sorted(found.items())):
        row = source.table.drop(columns="row").iloc[k]
        cells = json.loads(parts.pop("json"))
        assert cells == {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        ending = "jpg" if k < 4 else "png"
        assert sorted(parts) == sorted([ending, *["saliency.png"] * (k < 3), *["saliency_ann.png"] * (k < 2)])
        assert parts[ending] == (source.root / row["path"]).read_bytes(), key
        if k < 3:
            assert parts["saliency.png"] == (source.root / row["saliency"]).read_bytes()


def test_an_image_of_several_rows_is_written_once_and_they_still_belong_together(source, tmp_path):
    """Rows of one image go to several shards and name it in one, so that no split parts them."""
    table = pd.concat([source.table.drop(columns="row")] * 2, ignore_index=True)
    table["id"] = [f"{name}@{k // 7}" for k, name in enumerate(table["id"])]
    everybody = Manifest.of(table, source.root)
    read = Manifest.read(write_shards(everybody, tmp_path / "shards", 3))
    assert read.table["path"].nunique() == 7
    assert read.table["path"][:7].tolist() == read.table["path"][7:].tolist()
    assert groups_of_rows(read) == groups_of_rows(everybody) == [[k, k + 7] for k in range(7)]
    for one, other in zip(samples(everybody), samples(read), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.saliency, other.saliency)
    parts = []
    for file in sorted((tmp_path / "shards").glob("*.tar")):
        with tarfile.open(file) as tar:
            parts += tar.getnames()
    assert sum(part.count(".") == 1 and not part.endswith("json") for part in parts) == 7
    assert sum(part.endswith("json") for part in parts) == 14


def test_splits_and_columns_of_nearly_one_name_have_files_of_their_own(source, tmp_path):
    table = source.table.drop(columns=["row", "saliency_ann"]).assign(split=["Test", "test", *["test-a"] * 5])
    table["saliency_Ö"] = table["saliency_Ü"] = table["saliency"]
    read = Manifest.read(write_shards(Manifest.of(table, source.root), tmp_path / "shards", 3))
    names = [file.name for file in sorted((tmp_path / "shards").glob("*.tar"))]
    assert names == ["Test-000000.tar", "test_a-000000.tar", "test_a-000001.tar"]
    with tarfile.open(tmp_path / "shards" / "Test-000000.tar") as tar:
        members = tar.getnames()
    assert len(set(members)) == len(members) == 10
    assert read.table["split"].tolist() == table["split"].tolist()


def test_the_same_set_gives_the_same_bytes(source, sharded, tmp_path):
    other = write_shards(source, tmp_path / "again", 3)
    for file in sorted(sharded.parent.glob("*.tar")):
        assert file.read_bytes() == (other.parent / file.name).read_bytes()
    assert (sharded.parent / "shards.json").read_text() == (other.parent / "shards.json").read_text()


def test_a_shard_that_was_cut_or_is_missing_is_one_fault(sharded):
    shard = sharded.parent / "train-000000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ManifestError) as caught:
        Manifest.read(sharded)
    (fault,) = caught.value.faults  # the maps in it are not told once more
    assert (fault.row, fault.column) == (3, "path")
    assert f"{shard} has {len(whole) // 2:,} bytes and had {len(whole):,}" in fault.message
    assert "it was cut; copy it again (3 rows are in it)" in fault.message
    shard.unlink()
    with pytest.raises(ManifestError, match=rf"row 3, path: no such file: {shard} .*\(3 rows are in it\)"):
        Manifest.read(sharded)
    shard.write_bytes(whole + b"\0")
    with pytest.raises(ManifestError, match="it was changed"):
        Manifest.read(sharded)


def test_a_shard_that_is_cut_or_changed_while_it_is_read_is_told_with_its_row(sharded):
    read, shard = Manifest.read(sharded), sharded.parent / "train-000000.tar"
    whole = shard.read_bytes()
    start = int(read.table["path"][4].partition("@")[2].partition("+")[0])
    shard.write_bytes(whole[: start + 9])
    data = SaliencyDataset(read, ("a", "b"), build_transform(16))
    where = r"^manifest\.parquet row 6 \(train-000000\.tar@\d+\+\d+/00000004\.png\): "
    with pytest.raises(ImageError, match=rf"{where}.*{shard.name}: the shard was cut"):
        data[4]
    shard.write_bytes(whole[:512] + b"\0" * 512 + whole[512:-512])  # as long as it was, and all else one block on
    with pytest.raises(ImageError, match=rf"{where}.*{shard.name}: the shard was changed since its rows were listed"):
        data[4]
    for k in (0, 3, 6):  # in the other split
        assert data[k].images.shape == (3, 16, 16)
    shard.unlink()
    with pytest.raises(ImageError, match=rf"{where}no such file: .*{shard.name}"):
        data[4]


def test_a_check_compares_shards_with_the_index(sharded):
    assert not check_file(sharded, progress=False).faults
    shard = sharded.parent / "train-000001.tar"
    content = bytearray(shard.read_bytes())
    content[-1] = 1  # behind the end of the archive, where no picture is harmed
    shard.write_bytes(content)
    assert len(Manifest.read(sharded)) == 7
    (fault,) = check_file(sharded, progress=False).faults
    assert fault.message == "the shard train-000001.tar was changed since shards.json was written; copy it again"
    assert not check_file(sharded, decode=False, progress=False).faults


def test_a_damaged_index_and_a_folder_that_has_shards_are_refused(source, sharded):
    with pytest.raises(SalignError, match="holds shards already; give another folder"):
        write_shards(source, sharded.parent)
    (sharded.parent / "shards.json").write_text('{"rows": 3, "shards": {"a.tar": {}}}')
    with pytest.raises(SalignError, match=r"shards\.json is damaged"):
        Manifest.read(sharded)
    (sharded.parent / "shards.json").unlink()  # the shards alone are enough to read them
    assert len(Manifest.read(sharded)) == 7


def test_nothing_is_written_where_an_image_is_damaged_or_there_is_no_room(source, tmp_path, monkeypatch):
    with pytest.raises(SalignError, match="size: expected a whole number of 1 or more, got 0"):
        write_shards(source, tmp_path / "shards", 0)
    (tmp_path / "a.png").write_bytes(b"no image")
    row = {"id": "a", "path": "a.png", "label": "x", "split": "train", "saliency": ""}
    with pytest.raises(ManifestError, match=r"row 2, path: a\.png"):
        write_shards(Manifest.of(pd.DataFrame([row]), tmp_path), tmp_path / "shards")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(SalignError, match=r"the images and maps have [\d,]+ bytes, and there is room for 1,000"):
        write_shards(source, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
def test_training_on_shards_behind_a_url_with_a_cache_ends_with_the_weights_of_files(digits, trained, tmp_path):
    ended = salign("data", "shard", digits, "--to", tmp_path / "shards", "--size", 150)
    assert f"wrote {tmp_path / 'shards' / 'manifest.parquet'}: 500 rows" in ended.out
    system = fsspec.filesystem("memory")
    system.put(f"{tmp_path / 'shards'}/", "/digits/", recursive=True)
    recipe = small("memory://digits/manifest.parquet")
    recipe["data"]["cache"] = str(tmp_path / "pixels")
    salign("train", written(tmp_path / "small.yaml", recipe), "--out", tmp_path / "runs", "--quiet")
    system.rm("/digits", recursive=True)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()
    assert list((tmp_path / "pixels").glob("*/*.pixels"))
