"""How long the page of a run with many images takes to open, to filter and to sort, in headless Chromium.

Images are files beside the page, as `salign explain` writes them. Times are medians over several trials.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright
from timing import environment

from salign.pages.gallery import Answer, Gallery, Item, encode_map, write_human_map, write_picture
from salign.pages.sheet import Section, write_sheet

CLASSES = ("benign", "malignant", "normal")


def made_page(folder: Path, images: int, side: int, files: int) -> Path:
    """Write a page of made-up answers; of the pictures so many are different, and the items take them in turn."""
    generator = torch.Generator().manual_seed(0)
    draw = np.random.default_rng(0)
    pictures = [
        write_picture(folder, f"{k}", torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator))
        for k in range(files)
    ]
    marks = [write_human_map(folder, f"{k}", torch.rand(side, side, generator=generator)) for k in range(files)]
    items = []
    for k in range(images):
        label, predicted = draw.choice(CLASSES, 2)
        answer = Answer(
            str(predicted), float(draw.uniform(0.34, 1)), encode_map(torch.rand(14, 14, generator=generator)),
            float(draw.uniform(-1, 1)), float(draw.uniform()),
        )  # fmt: skip
        name = f"folder/of/images/{k:06d}.png"
        site = {"site": str(draw.choice(list("abcdef")))}
        items.append(Item(name, "test", str(label), pictures[k % files], 1.0, marks[k % files], [answer], groups=site))
    return write_sheet(folder / "index.html", "benchmark", [Section("Images", [Gallery("", items, ["run"])])])


class Clock:
    """Milliseconds that the main thread of the page has worked, which other work on the machine does not change."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def read(self) -> float:
        """Milliseconds since the page was opened."""
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def opened(page: Page, address: str) -> float:
    """Seconds until the first images are in the page and painted."""
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.item').length > 0")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return time.perf_counter() - start


CHANGE = """([name, value]) => new Promise((done) => {
  const control = document.querySelector(`[name="${name}"]`);
  const start = performance.now();
  control.value = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
CHANGES = (
    ("predicted", "malignant"), ("predicted", ""), ("answer", "wrong"), ("group:site", "c"), ("text", "0042"),
    ("text", ""), ("answer", ""), ("group:site", ""), ("sort", "least sure first"), ("sort", "name"),
)  # fmt: skip
"""Control of the page, and the value that it takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=500, help="pixels of each image's sides")
    parser.add_argument("--files", type=int, default=200, help="different pictures on disk")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = made_page(Path(folder), arguments.images, arguments.side, arguments.files)
        browser = started.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        opening = [opened(page, path.as_uri()) for _ in range(arguments.trials)]
        clock = Clock(page)
        changing: dict[str, list[float]] = {}
        working: dict[str, list[float]] = {}
        for _ in range(arguments.trials):
            for name, value in CHANGES:
                before = clock.read()
                changing.setdefault(f"{name} = {value or 'all'}", []).append(page.evaluate(CHANGE, [name, value]))
                working.setdefault(f"{name} = {value or 'all'}", []).append(clock.read() - before)
        size = path.stat().st_size / 2**20
        browser.close()
    print(f"{arguments.images} images of {arguments.side} pixels, page of {size:.1f} MiB")
    print(f"{'open':24} {1000 * statistics.median(opening):8.0f} ms, at most {1000 * max(opening):.0f} ms")
    for name, times in changing.items():
        work = statistics.median(working[name])
        print(f"{name:24} {statistics.median(times):8.1f} ms, at most {max(times):.1f} ms; main thread {work:.1f} ms")
    if arguments.json:
        figures = {
            "open_s": opening,
            "change_ms": changing,
            "main_thread_ms": working,
            "page_mib": size,
            "environment": environment(),
        }
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
