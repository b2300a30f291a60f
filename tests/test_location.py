"""Files behind URLs, on the file system in memory that fsspec brings: read as local ones, or one clear error."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from command import salign, small, written
from salign.data.manifest import COLUMNS, Manifest, ManifestError
from salign.data.reading.cache import PixelCache
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import ImageError
from salign.data.reading.transforms import build_transform
from salign.data.shards import write_shards
from salign.errors import SalignError
from salign.files import check_output
from salign.location import absolute, absolute_text, exists, is_remote, member_of, remote_state
from salign.readers import file_digest, known_digest, read_bytes
from salign.train.recipe import Recipe


@pytest.fixture
def bucket(tmp_path):
    """`memory://bucket` with five images in two folders, two maps and a manifest; the same in a folder."""
    draw, rows = np.random.default_rng(1), []
    for k in range(5):
        name = f"{'ab'[k % 2]}/{k}.png"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / name)
        if k < 2:
            Image.fromarray(draw.integers(0, 256, (20, 24), dtype=np.uint8)).save(tmp_path / f"{k}_map.png")
        rows.append((str(k), name, "xy"[k % 2], "train", f"{k}_map.png" if k < 2 else None))
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "manifest.csv", index=False)
    system = fsspec.filesystem("memory")
    system.put(f"{tmp_path}/", "/bucket/", recursive=True)
    yield tmp_path
    system.rm("/bucket", recursive=True)
    remote_state.cache_clear()


def samples(manifest, cache=None):
    data = SaliencyDataset(manifest, ("x", "y"), build_transform(16, "flip"), cache=cache)
    return [data[k, k] for k in range(len(data))]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.saliency, other.saliency)


def test_what_is_a_url():
    for url in (
        "s3://bucket/a.png",
        "memory://a",
        "gs://b/c",
        Path("s3://bucket/a.png"),
        Path("s3:/bucket"),
        "file:///a",
    ):
        assert is_remote(url)
    for path in ("a.png", "/a/b:c.png", "C:/a.png", "c:\\a.png", Path("x/s3:/a"), "s3", "s3:", "://a"):
        assert not is_remote(path)
    assert absolute("file:///tmp/../a.png") == Path("/a.png")
    assert absolute("a") == Path.cwd() / "a"
    assert str(absolute("s3://bucket/a") / "b.png") == "s3:/bucket/a/b.png"
    for text, path in (("s3://b/a", "s3://b/a"), ("file:///b/a", "/b/a"), ("a", str(Path.cwd() / "a"))):
        assert absolute_text(text) == path


def test_a_recipe_names_urls_as_they_were_written(tmp_path):
    path = written(tmp_path / "r.yaml", small("s3://bucket/m.csv"))
    assert Recipe.read(path, ["data.root=gs://other/set"]).data.root == "gs://other/set"
    assert Recipe.read(path).data.manifest == "s3://bucket/m.csv"
    assert Recipe.read(path, [f"data.manifest=file://{tmp_path}/m.csv"]).data.manifest == f"{tmp_path}/m.csv"


def test_a_part_of_a_shard_by_its_name():
    assert member_of("x/0.tar@512+9/a.png") == (Path("x/0.tar"), 512, 9, "a.png")
    assert member_of(Path("s3://b/0.tar@1024+10/a.b.png")) == (Path("s3:/b/0.tar"), 1024, 10, "a.b.png")
    for name in ("x/0.tar", "x/0.tar@512/a.png", "0.zip@1+2/a.png", "0.tar@1+2/deep/a.png", "a.tar@x+1/b"):
        assert member_of(name) is None


def test_images_maps_and_manifests_behind_a_url_are_those_of_the_folder(bucket, tmp_path_factory):
    local = samples(Manifest.read(bucket / "manifest.csv"))
    cache = PixelCache(tmp_path_factory.mktemp("cache"))
    for manifest in (
        Manifest.read("memory://bucket/manifest.csv"),
        Manifest.read("memory://bucket/manifest.csv", "memory://bucket"),
        Manifest.read(bucket / "manifest.csv", "memory://bucket/"),
        Manifest.read(Path("memory://bucket/manifest.csv")),
        Manifest.read(f"file://{bucket}/manifest.csv"),
        Manifest.read(bucket / "manifest.csv", f"file://{bucket}"),
    ):
        assert_same(samples(manifest), local)
        assert_same(samples(manifest, cache), local)
    assert len(list(cache.folder.glob("*/*"))) == 2 * 7  # behind the URL and in the folder
    assert known_digest("memory://bucket/manifest.csv") == file_digest(bucket / "manifest.csv")
    assert read_bytes("memory://bucket/a/0.png") == (bucket / "a/0.png").read_bytes()
    assert exists("memory://bucket/a/0.png")
    assert not exists("memory://bucket/a/9.png")


def test_shards_behind_a_url_are_read_by_parts(bucket, tmp_path_factory, monkeypatch):
    local = Manifest.read(bucket / "manifest.csv")
    shards = write_shards(local, tmp_path_factory.mktemp("s") / "shards", 3).parent
    fsspec.filesystem("memory").put(f"{shards}/", "/bucket/shards/", recursive=True)
    read, asked = Manifest.read("memory://bucket/shards/manifest.parquet"), []
    fetch = MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None, **more):
        asked.append((path, start, end))
        return fetch(self, path, start, end, **more)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    assert_same(samples(read), samples(local))
    assert all(path.endswith(".tar") and end - start < 3000 for path, start, end in asked)
    fsspec.filesystem("memory").pipe("/bucket/shards/train-000000.tar", b"cut")
    with pytest.raises(ImageError, match=r"manifest\.parquet row 2 .*: the shard was cut"):
        samples(read)


def test_what_is_missing_or_leaves_the_bucket_is_told_with_its_row(bucket):
    table = pd.read_csv(bucket / "manifest.csv", dtype=str)
    table.loc[1, "path"], table.loc[3, "path"], table.loc[4, "path"] = "b/gone.png", "../out.png", "/a.png"
    table.loc[0, "saliency"] = "nowhere/m.png"
    table.to_csv(bucket / "wrong.csv", index=False)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(bucket / "wrong.csv", "memory://bucket")
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [
        (2, "saliency"), (3, "path"), (5, "path"), (6, "path"),
    ]  # fmt: skip
    said = str(caught.value)
    for words in ("no such file: memory://bucket/b/gone.png", "'../out.png' leaves the root", "'/a.png' is absolute"):
        assert words in said
    with pytest.raises(SalignError, match=r"no manifest at memory://bucket/gone\.csv"):
        Manifest.read("memory://bucket/gone.csv")
    read = Manifest.read("memory://bucket/manifest.csv")
    fsspec.filesystem("memory").rm("/bucket/a/2.png")
    with pytest.raises(ImageError, match=r"^manifest\.csv row 4 \(a/2\.png\): no such file: memory://bucket/a/2\.png"):
        samples(read)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), r"may not be read \(Access Denied\)\. Check the credentials that memory"),
        (TimeoutError(), "cannot be reached: no answer in time. Check the network"),
        (FileNotFoundError("The specified bucket does not exist"), "no such file: memory://bucket/"),
        (
            RuntimeError("no region"),
            "cannot be reached: RuntimeError: no region. Check the network, the name and the credentials",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_bucket_refuses_is_one_clear_error(bucket, monkeypatch, error, said):
    read = Manifest.read("memory://bucket/manifest.csv")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(ImageError, match=r"^manifest\.csv row 2 \(a/0\.png\): .*" + said):
        samples(read)
    monkeypatch.setattr(MemoryFileSystem, "exists", fail)
    with pytest.raises(SalignError, match=said):
        Manifest.read("memory://bucket/manifest.csv")


def test_a_protocol_that_needs_a_package_names_it():
    fsspec.register_implementation("s3a", "not_installed.at_all", clobber=True, errtxt="Install s3fs to access S3")
    with pytest.raises(SalignError, match=r"s3a://b/m\.csv: s3a:// cannot be opened here .*pip install s3fs"):
        Manifest.read("s3a://b/m.csv")
    with pytest.raises(SalignError, match=r"xyz://b/m\.csv: xyz:// cannot be opened here .*Protocol not known"):
        Manifest.read("xyz://b/m.csv")


def test_nothing_is_written_behind_a_url(bucket):
    for folder in (True, False):
        with pytest.raises(SalignError, match=r"^s3://b/runs cannot be written to: .*Give one, and copy it"):
            check_output(Path("s3://b/runs"), folder=folder)
    recipe = written(bucket / "r.yaml", small("memory://bucket/manifest.csv"))
    assert "cannot be written to: images, maps and" in salign("train", recipe, "--out", "s3://b/runs", code=2).err
    assert not Path("s3:").exists()
