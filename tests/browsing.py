"""What the browser tests share: the server, a visitor with a browser of their own, images to show."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from processes import Program

AUDIT = """() => {
    const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, c, i) => sum + c * linear(colour[i] / 255), 0);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = channels(getComputedStyle(at).backgroundColor);
            if (colour[3] === undefined || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [], nameless = [], small = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (text && seen(element) && !element.closest(":disabled, noscript, .unseen")) {
            const both = [light(channels(getComputedStyle(element).color)), light(ground(element))];
            const [a, b] = both.sort((x, y) => x - y);
            if ((b + 0.05) / (a + 0.05) < 4.5) poor.push(element.textContent.trim());
        }
    }
    for (const element of document.querySelectorAll("button, input, select, [role=application], progress, summary")) {
        if (!seen(element)) continue;
        const label = element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent
            || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent;
        if (!label?.trim()) nameless.push(element.outerHTML);
        const { width, height } = element.getBoundingClientRect();
        const exempt = element.matches("progress, [type=checkbox]");
        if (Math.min(width, height) < 24 && !exempt) small.push(element.outerHTML);
    }
    return { poor, nameless, small, wide: document.documentElement.scrollWidth > innerWidth };
}"""
"""Text without contrast, controls without a name or too small, and whether the page is wider than the window."""
CLEAN: dict[str, Any] = {"poor": [], "nameless": [], "small": [], "wide": False}


def serious_faults(page: Any) -> list[str]:
    """What axe calls serious or critical on a page, with the element; what is folded is opened before."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    faults = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['target']}"
        for fault in faults
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


class Server:
    """`salign annotate FOLDER` on a free port of loopback."""

    def __init__(self, folder: Path, *options: str, port: str = "0", **study: Any) -> None:
        self.folder = folder
        (folder / "annotate.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        self.options = options
        self.start(port)

    def start(self, port: str) -> None:
        self.process = Program("annotate", self.folder, "--no-open", "--port", port, *self.options)
        told = [line.partition(": ") for line in self.process.said_until("Ctrl-C")]
        self.links = {who: address for who, _, address in told if address.startswith("http")}
        self.url = "/".join(next(iter(self.links.values())).split("/", 3)[:3])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


class Visitor:
    """A browser of its own with one page; remembers everything that must not happen."""

    def __init__(self, browser: Any, server: Server, **context: Any) -> None:
        self.server = server
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.faults: list[str] = []
        self.context.on("page", self._watch)
        self.page = self.context.new_page()
        self.offline = False

    def _watch(self, page: Any) -> None:
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._asked)

    def _told(self, message: Any) -> None:
        lost = "net::ERR_INTERNET_DISCONNECTED" in message.text or "net::ERR_CONNECTION_REFUSED" in message.text
        if message.type == "error" and not lost:
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.server.url, "blob:", "data:")):
            self.faults.append(f"request elsewhere: {request.url}")

    def join(self, name: str, path: str = "/") -> Any:
        """Open the page, give the name, agree, and wait for the first image."""
        self.page.goto(self.server.url + path)
        self.page.fill("#name", name)
        self.page.click("#join-form button")
        self.page.wait_for_selector("#welcome:not([hidden]), #work:not([hidden])")
        if self.page.is_visible("#welcome"):
            self.page.click("#welcome-form button.primary")
        self.painted()
        return self.page

    def painted(self) -> str:
        """Wait for the image on the first stage; gives the task."""
        self.page.wait_for_function(
            "() => globalThis.salign?.work.active"
            " && salign.work.stages[0].element.dataset.painted === salign.work.task.id"
        )
        return str(self.page.evaluate("salign.work.task.id"))

    def next(self, act: Callable[[], None]) -> str:
        """Do what ends a task, and wait for the one after it; gives its id."""
        before = self.page.evaluate("salign.work.task.id")
        act()
        self.page.wait_for_function("(before) => salign.work.task.id !== before", arg=before)
        return self.painted()

    def sent(self) -> None:
        """Wait until nothing waits."""
        self.page.wait_for_function("() => salign.queue.entries.length === 0")

    def at(self, x: float, y: float, stage: int = 0) -> tuple[float, float]:
        """Where on the screen a point of the image is."""
        return tuple(
            self.page.evaluate(
                """([x, y, i]) => {
                    const stage = salign.work.stages[i], frame = stage.element.getBoundingClientRect();
                    const [sx, sy] = stage.view.toScreen(x, y);
                    return [frame.left + sx, frame.top + sy];
                }""",
                [x, y, stage],
            )
        )

    def snap(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """The points of the image nearest to these that a mouse can be at: it moves by whole pixels of the screen."""
        scale, found = self.page.evaluate("salign.work.stages[0].view.scale"), []
        for x, y in points:
            across, down = self.at(x, y)
            found.append((x + (round(across) - across) / scale, y + (round(down) - down) / scale))
        return found

    def drag(self, points: list[tuple[float, float]], stage: int = 0) -> None:
        """Draw through points of the image with the mouse."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0], stage))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point, stage), steps=5)
        mouse.up()

    def shapes(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("salign.work.state.shapes"))

    def close(self) -> None:
        self.context.close()


def pictures(count: int, size: tuple[int, int] = (240, 320), labels: tuple[str, ...] = ()) -> Callable[[Path], None]:
    """Fills a folder with `count` images `(H, W)`; with labels there is a manifest, too."""

    def fill(folder: Path) -> None:
        rows = ["id,path,label,split"]
        for k in range(count):
            rng = np.random.default_rng(k)
            rows_, columns = np.mgrid[: size[0], : size[1]]
            grey = 90 + 60 * np.sin(columns / (9 + k)) * np.cos(rows_ / (13 + k)) + rng.normal(0, 8, size)
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{k:02d}.png")
            if labels:
                rows.append(f"{k:02d},{k:02d}.png,{labels[k % len(labels)]},train")
        if labels:
            (folder / "manifest.csv").write_text("\n".join(rows) + "\n")

    return fill


def settled(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something outside the browser."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
