"""`salign serve` in a process of its own, and its page in a real Chromium."""

from __future__ import annotations

import signal

import httpx
import pandas as pd
import pytest

from browsing import AUDIT, CLEAN, serious_faults
from processes import Program

GIVE = """([kind, name, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name));
    const detail = { bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", { ...detail, clipboardData: transfer })
        : new DragEvent("drop", { ...detail, dataTransfer: transfer }));
}"""
"""Drops or pastes a file, as a browser tells the page of it."""


@pytest.fixture(scope="module")
def server(exported):
    process = Program("serve", exported, "--port", 0, "--no-open")
    lines = dict(line.split(": ", 1) for line in process.said_until("Ctrl-C") if ": " in line)
    yield lines["page"], process
    process.kill()


@pytest.mark.slow
def test_an_image_is_chosen_dropped_and_pasted(server, browser, trained, digits):
    url, _ = server
    rows = pd.read_csv(trained / "predictions" / "test_ood.csv").head(3)
    paths = [digits.parent / path for path in rows.path]
    page, faults = browser.new_page(viewport={"width": 1280, "height": 800}), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: request.url.startswith((url, "data:")) or faults.append(request.url))
    page.on("console", lambda message: "Security Policy" in message.text and faults.append(message.text))
    page.goto(url)
    page.set_input_files("#file", paths[0])
    page.wait_for_selector("article")
    for kind, path in zip(("drop", "paste"), paths[1:], strict=True):
        count = page.locator("article").count()
        page.evaluate(GIVE, [kind, path.name, list(path.read_bytes())])
        page.wait_for_function("(count) => document.querySelectorAll('article').length > count", arg=count)
    headings = page.locator("article h2").all_inner_texts()
    assert (
        headings == [f"{path.name}: {row.predicted}" for path, row in zip(paths, rows.itertuples(), strict=True)][::-1]
    )
    first = page.locator("article").last
    best = max(rows.prob_1[0], rows.prob_7[0])
    assert first.locator("td").all_inner_texts()[1::2] == [f"{100 * p:.1f}%" for p in (best, 1 - best)]
    assert "Half of the map's weight lies on" in first.inner_text()
    before = first.locator("img").get_attribute("src")
    first.get_by_label("image alone").check()
    assert first.locator("img").get_attribute("src") != before
    assert "was not measured" in page.inner_text("#reliance")
    page.evaluate(GIVE, ["drop", "notes.txt", [1, 2, 3]])
    page.wait_for_selector("#fault:not([hidden])")
    assert page.inner_text("#fault").startswith("notes.txt: the file is damaged or of another kind")
    assert page.locator("article").count() == 3, "what was answered before stays"
    assert serious_faults(page) == []
    for width in (1280, 768, 375):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(AUDIT) == CLEAN
    assert faults == []
    page.close()


@pytest.mark.slow
def test_the_command_answers_programs_and_stops(server, exported, trained, digits):
    url, process = server
    row = next(pd.read_csv(trained / "predictions" / "test_ood.csv").itertuples())
    content = (digits.parent / row.path).read_bytes()
    (prediction,) = httpx.post(f"{url}api/predict", content=content, timeout=20).json()["predictions"]
    assert prediction["probabilities"]["7"] == pytest.approx(row.prob_7, abs=1e-5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(20)
    assert out.startswith(f"{exported}: 1, 7; ")
    assert "There is no password; only this machine reaches the server" in out
    assert out.splitlines()[-1].startswith("stopped. Next: salign predict")
    assert "Traceback" not in err
