"""Speed of the annotation page in headless Chromium: painting, region maps, and showing the next image.

    python benchmarks/annotate_paint.py --json annotate_paint.json   # about a minute on 2 cores

A real `salign annotate` on loopback serves images of 4,000 x 3,000 pixels. Three things are timed:

- Painting: one long stroke, drawn piece by piece in every frame. The limit of 60 frames a second is off, so that the
  interval between frames is the full cost of a frame (script, painting, raster and composition) without a GPU.
- Regions: from the call until the cells are there, on a grid of at most 800 pixels a side, in a worker that already
  runs. The page's own share of the time is reported separately.
- Next image: from the key's event to the frame after the image was drawn. The image was prefetched.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table
from timing import environment

SIZE = (3000, 4000)
FLAGS = ["--no-sandbox", "--disable-frame-rate-limit", "--disable-gpu-vsync"]
COMMAND = "import typer; from salign.cli.annotate import annotate; typer.run(annotate)"
PAINT = """(frames) => new Promise((done) => {
    const { element } = salign.work.stage, frame = element.getBoundingClientRect();
    element.setPointerCapture = () => {};
    const send = (kind, turn) => {
        const reach = 0.45 * turn / frames, way = 0.15 * turn;
        const [across, down] = [0.5 + reach * Math.cos(way), 0.5 + reach * Math.sin(way)];
        const [x, y] = [across * frame.width, down * frame.height];
        element.dispatchEvent(new PointerEvent(kind, { clientX: frame.left + x, clientY: frame.top + y, pointerId: 7,
            pointerType: "mouse", pressure: 0.5, bubbles: true, cancelable: true }));
    };
    const whole = [], script = [];
    let turn = 0, last = 0;
    const step = () => {
        const now = performance.now();
        if (turn > 10) whole.push(now - last);
        last = now;
        if (turn >= frames) { send("pointerup", turn); return done({ whole, script }); }
        send(turn ? "pointermove" : "pointerdown", turn++);
        script.push(performance.now() - now);
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""
REGIONS = """async (share) => {
    const { stage } = salign.work;
    const begun = performance.now();
    stage.grid = null;
    salign.work.panel.look.cells = share;
    salign.work.tool.prepare();
    const page = performance.now() - begun;
    await stage.grid.cells(salign.work.panel.side);
    return [page, performance.now() - begun];
}"""
NEXT = """() => new Promise((done) => {
    const { element } = salign.work.stages[0];
    addEventListener("keydown", ({ timeStamp }) => {
        new MutationObserver((_, watch) => {
            watch.disconnect();
            requestAnimationFrame(() => done(performance.now() - timeStamp));
        }).observe(element, { attributeFilter: ["data-painted"] });
    }, { once: true, capture: true });
    globalThis.listening = true;
})"""


def write_images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for k in range(count):
        coarse = rng.integers(0, 255, (SIZE[0] // 50, SIZE[1] // 50, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC).save(folder / f"{k:03d}.jpg", quality=90)


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", COMMAND, str(folder), "--no-open", "--port", "0", "--class", "a", "--class", "b"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("annotators: "):
            return server, line.split(": ", 1)[1].strip()
    raise SystemExit("the server did not start")


def ready(page: Page) -> None:
    """Wait for the image, and for the next one to be fetched and decoded."""
    page.wait_for_function(
        "() => globalThis.salign?.work.active"
        " && salign.work.stages[0].element.dataset.painted === salign.work.task.id && salign.tasks.held.length > 1"
    )
    page.evaluate("async () => { await Promise.all(salign.work.shower.bitmaps(salign.tasks.next)) }")
    page.wait_for_timeout(300)


def measure(page: Page, *, frames: int, images: int) -> list[dict[str, Any]]:
    ready(page)
    rows = []
    for zoom in (1.0, 4.0):
        page.evaluate("(zoom) => { salign.work.looking.fit(); if (zoom > 1) salign.work.looking.zoom(zoom) }", zoom)
        page.wait_for_timeout(1500)
        taken = page.evaluate(PAINT, frames)
        place = "whole image" if zoom == 1 else f"{zoom:g} times as near"
        rows.append(row(f"frame while painting, {place}", taken["whole"], 16))
        rows.append(row(f"of it script, {place}", taken["script"], None))
    page.evaluate("() => { salign.work.clear(); salign.work.looking.fit(); salign.work.use('region') }")
    page.wait_for_function("() => salign.work.tool.cells")
    found = [page.evaluate(REGIONS, share) for share in (0, 1, 2, 3, 4) for _ in range(2)]
    rows.append(row("regions found, in a worker", [whole for _, whole in found], 1500))
    rows.append(row("of it on the page", [own for own, _ in found], None))
    page.wait_for_timeout(500)
    taken = page.evaluate(PAINT, frames // 2)
    rows.append(row("frame while painting with regions", taken["whole"], 16))
    page.evaluate("() => { salign.work.clear(); salign.work.use('brush') }")
    waits = []
    for _ in range(images):
        ready(page)
        page.keyboard.press("n")
        page.keyboard.press("1")
        page.evaluate(f"() => {{ globalThis.waited = ({NEXT})() }}")
        page.keyboard.press("Enter")
        waits.append(page.evaluate("() => globalThis.waited"))
    rows.append(row("next image, prefetched", waits, 150))
    return rows


def row(what: str, milliseconds: list[float], aim: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "count": len(milliseconds),
        "median_ms": median(milliseconds),
        "p95_ms": quantiles(milliseconds, n=20, method="inclusive")[-1],
        "highest_ms": max(milliseconds),
        "aim_ms": aim,
    }


def show(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="annotation page, images of 4,000 x 3,000 pixels, window of 1,280 x 800")
    for column in ("what", "count", "median", "95 %", "highest", "aim (median)"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for one in rows:
        figures = [f"{one[key]:.1f} ms" for key in ("median_ms", "p95_ms", "highest_ms")]
        table.add_row(one["what"], str(one["count"]), *figures, f"{one['aim_ms']} ms" if one["aim_ms"] else "")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600, help="frames of the stroke")
    parser.add_argument("--images", type=int, default=12, help="images gone through")
    parser.add_argument("--json", type=Path, help="write every figure here")
    arguments = parser.parse_args()
    before = environment()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        write_images(folder, arguments.images + 3)
        server, address = serve(folder)
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(address)
                page.fill("#name", "Ann")
                page.click("#join-form button")
                rows = measure(page, frames=arguments.frames, images=arguments.images)
                version = browser.version
                browser.close()
        finally:
            server.terminate()
            server.wait(10)
    Console(width=120).print(show(rows))
    if arguments.json:
        content = {"environment": before, "load_after": environment()["load"], "chromium": version, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
        print(f"wrote {arguments.json}")


if __name__ == "__main__":
    main()
