"""The served model: what it answers, what it refuses, and that it needs no torch for a file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from salign import runtime
from salign.serve.app import Limits, create_app


def client_of(model, limits=None, **options):
    return TestClient(create_app(model, limits, **options), base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def model(exported):
    return runtime.load(exported)


@pytest.fixture
def client(model):
    return client_of(model)


@pytest.fixture(scope="module")
def images(trained, digits):
    """Three test images, with the row of the run's own predictions of each."""
    table = pd.read_csv(trained / "predictions" / "test_ood.csv").head(3)
    return [(digits.parent / row.path, row) for row in table.itertuples()]


def saved(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format=format, **options)
    return stream.getvalue()


def form(*paths):
    return [("image", (Path(path).name, Path(path).read_bytes())) for path in paths]


def pixels_of(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))))


def check_answers(client, images, threshold):
    """A form of images is answered as the run predicted them."""
    reply = client.post("/api/predict", files=form(*(path for path, _ in images)))
    assert reply.status_code == 200, reply.text
    predictions = reply.json()["predictions"]
    assert [each["name"] for each in predictions] == [path.name for path, _ in images]
    for each, (_, row) in zip(predictions, images, strict=True):
        assert each["predicted"] == str(row.predicted)
        assert each["probabilities"] == pytest.approx({"1": row.prob_1, "7": row.prob_7}, abs=1e-5)
        assert each["predicted_at_threshold"] == ("7" if row.prob_7 >= threshold else "1")
        assert each["picture"] is each["overlay"] is None
    return predictions


def test_a_form_of_images_is_answered_as_the_run_predicted_them(client, images, trained):
    threshold = json.loads((trained / "model.json").read_text())["threshold"]["probability"]
    check_answers(client, images, threshold)


def test_one_image_comes_with_its_pictures_and_where_its_map_lies(client, model, images):
    path, _ = images[0]
    reply = client.post("/api/predict?pictures=true", content=path.read_bytes())
    (prediction,) = reply.json()["predictions"]
    answer = model(path)
    assert prediction["name"] == "image"
    np.testing.assert_array_equal(pixels_of(prediction["picture"]), np.array(Image.open(path).convert("RGB")))
    np.testing.assert_array_equal(pixels_of(prediction["overlay"]), np.array(answer.overlay()))
    weights, count = sorted(answer.scaled_map.ravel(), reverse=True), 0
    while sum(weights[:count]) < 0.5 * sum(weights):
        count += 1
    assert prediction["map"]["half"] == pytest.approx(count / len(weights))
    assert list(Path(tempfile.gettempdir()).glob("salign-serve-*")) == []


def test_a_large_picture_is_shown_smaller_and_answered_whole(client, model, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 2048), dtype=np.uint8)).save(path)
    reply = client.post("/api/predict?pictures=true", content=path.read_bytes())
    (prediction,) = reply.json()["predictions"]
    assert pixels_of(prediction["overlay"]).shape == (150, 1024, 3)
    assert prediction["probabilities"] == pytest.approx(model(path).probabilities, abs=1e-7)


GREY = Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30).astype(np.uint8))
PALETTE = GREY.convert("P")
FRAMES = [Image.new("L", (9, 9), value) for value in (0, 255)]


@pytest.mark.parametrize(
    "content",
    [
        saved(GREY.convert("CMYK"), "JPEG"),
        saved(PALETTE, transparency=3),
        saved(GREY.convert("LA")),
        saved(GREY.convert("1")),
        saved(GREY, "TIFF"),
    ],
    ids=["cmyk", "palette with alpha", "grey with alpha", "one bit", "tiff"],
)
def test_every_mode_is_read_as_salign_predict_reads_it(client, model, content, tmp_path):
    (tmp_path / "image").write_bytes(content)
    (prediction,) = client.post("/api/predict", content=content).json()["predictions"]
    assert prediction["probabilities"] == pytest.approx(model(tmp_path / "image").probabilities, abs=1e-7)


def bomb(width, height):
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"no image at all", 422, "image: the file is damaged or of another kind; expected PNG, JPEG"),
        (saved(Image.effect_noise((99, 99), 50))[:3000], 422, "image: cannot be read"),
        (bomb(60_000, 60_000), 422, "more than 89,478,485 pixels, which may be a decompression bomb"),
        (bomb(8000, 6000), 422, "image: 8000 x 6000 pixels; this server takes at most 40,000,000"),
        (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), 422, "it holds 2 pages or frames"),
        (saved(Image.fromarray(np.full((9, 9), 40_000, np.uint16))), 422, "more than 8 bits"),
        (saved(Image.new("L", (1, 9))), 422, "expected at least 2 x 2"),
        (b"", 400, "expected the bytes of an image"),
    ],
    ids=["text", "truncated", "bomb", "pixels", "animated", "16 bits", "narrow", "empty"],
)
def test_what_cannot_be_answered_is_said_in_one_sentence(client, content, status, said):
    reply = client.post("/api/predict", content=content)
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]
    assert said in reply.json()["error"]
    assert "/tmp" not in reply.json()["error"]


def test_all_faults_of_a_form_are_named_at_once(client, images, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"none")
    reply = client.post("/api/predict", files=form(images[0][0], tmp_path / "a.png", tmp_path / "b.png"))
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("2 of 3 images cannot be used: a.png: the file is damaged")
    assert "; b.png: the file is damaged" in reply.json()["error"]


def test_a_body_too_many_images_and_too_many_requests_are_refused(model, images):
    client = client_of(model, Limits(body=2000, images=1, rate=0.01, burst=4))
    assert client.post("/api/predict", content=b"x" * 2001).status_code == 413
    small = saved(Image.new("L", (9, 9)))
    two = client.post("/api/predict", files=[("image", ("a", small)), ("image", ("b", small))])
    assert two.status_code == 400
    assert "Maximum number of files is 1" in two.json()["error"]
    assert client.post("/api/predict?pictures=maybe", content=small).status_code == 400
    assert client.post("/api/predict", content=small).status_code == 200
    last = client.post("/api/predict", content=small)
    assert (last.status_code, last.json()) == (429, {"error": "too many requests; wait a moment"})
    assert int(last.headers["retry-after"]) > 1
    assert client.get("/health").json() == {"status": "ok"}


def test_the_model_is_described(client, model, trained):
    about = client.get("/api/model").json()
    written = json.loads((trained / "model.json").read_text())
    assert about["threshold"] == written["threshold"]
    assert about["called"] == str(model.threshold)
    assert about["weights_sha256"] == hashlib.sha256((trained / "weights.safetensors").read_bytes()).hexdigest()
    keys = ("classes", "positive", "image_size", "maps", "backbone", "reliance", "run")
    assert {key: about[key] for key in keys} == {
        "classes": ["1", "7"], "positive": "7", "image_size": [64, 64], "maps": True, "backbone": "test_resnet",
        "reliance": [], "run": trained.name,
    }  # fmt: skip
    assert about["limits"] == {"body": 20_000_000, "pixels": 40_000_000, "images": 16, "rate": 5, "burst": 20}


def test_the_page_and_the_description_of_the_api_come_from_here_alone(client):
    page = client.get("/")
    assert "<title>salign serve</title>" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert client.get("/static/page.js").headers["cache-control"] == "no-cache"
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/health", "/api/model", "/api/predict"}
    body = described["paths"]["/api/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"image/*", "multipart/form-data"}
    assert client.get("/none").json() == {"error": "Not Found"}


def test_other_names_and_other_sites_are_refused_here_and_known_names_elsewhere(client, model, images):
    content = images[0][0].read_bytes()
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        assert client.post("/api/predict", content=content, headers=headers).status_code == 403
    public = client_of(model, local_only=False, names={"host.example"})
    for host, status in (("host.example", 200), ("10.0.0.1", 200), ("evil.example", 403)):
        assert public.post("/api/predict", content=content, headers={"host": host}).status_code == status


PROGRAM = """
import sys
class Block:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "lightning"):
            raise ImportError(name + " is not to be imported here")
sys.meta_path.insert(0, Block())
from fastapi.testclient import TestClient
from salign.runtime import load
from salign.serve.app import create_app
client = TestClient(create_app(load(sys.argv[1])), base_url="http://localhost")
print(client.post("/api/predict?pictures=true", content=open(sys.argv[2], "rb").read()).status_code)
print("torch" in sys.modules)
"""


def test_a_file_is_served_without_torch(exported, images):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, exported, images[0][0]], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["200", "False"]
