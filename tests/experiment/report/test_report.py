"""The page is read back with the standard library: what it says, that it needs nothing else, that it repeats itself."""

from __future__ import annotations

import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pandas as pd
import pytest

from browsing import serious_faults
from made_study import QUALITY, made, study
from salign.experiment.report import write_report
from salign.experiment.store import Results

GRIDS = [
    {"arms": ["ce", "cyborg", "shuffled"], "seeds": 3, "images": [20, None]},
    {"arms": ["ce", "inverted"], "seeds": 12, "images": [None]},
]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.attributes if name == tag]


def write(plan, results, out, **options):
    return write_report(plan, results.figures, results.runs, out, missing=results.missing, **options).page


@pytest.fixture(scope="module")
def written(plan, results, tmp_path_factory):
    return write(plan, results, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text("utf-8"))


@pytest.mark.slow
def test_everybody_can_read_the_page(written, browser):
    opened = browser.new_page(viewport={"width": 375, "height": 800})
    opened.goto(written.as_uri())
    assert serious_faults(opened) == []
    assert opened.evaluate("document.documentElement.scrollWidth") == 375
    opened.close()


def test_the_page_needs_no_other_file(page, written):
    assert not {"script", "link", "iframe", "object", "video"} & set(page.tags)
    assert page.all("img")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert page.all("a") == []  # what is folded is listed below each other, and needs no second list
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", written.read_text("utf-8"))
    assert not re.search(r"https?://(?!www\.w3\.org/)", bare)
    assert not re.search(r"url\((?!#)|@import", bare)


def test_the_page_has_these_sections_and_its_tables_these_columns(written):
    page = written.read_text("utf-8")
    assert re.findall(r"<h1[^>]*>(.*?)</h1>", page) == ["Does it help?"]
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "In short",
        "What the verdict rests on",
        "All comparisons",
        "Differences to ce",
        "How many training images is guidance worth?",
        "How good must the maps be?",
        "Do models that look where people look generalize better?",
        "Do independent runs look at the same places?",
        "What do the models use?",
        "Images on which the arms differ most",
        "What was run",
    ]
    assert [re.findall(r"<th [^>]*>(.*?)</th>", one) for one in re.findall(r"<table.*?</table>", page, re.S)] == [
        [
            "arm", "what it is", "seeds", "test_iid", "test_ood", "test_iid − ce", "test_ood − ce", "p", "p (Holm)",
            "P(better)",
        ],
        [
            "pair", "data", "seeds", "difference, t interval", "bootstrap: seeds", "bootstrap: seeds and images",
            "effect d_z", "p, sign flips",
        ],
        ["maps", "cyborg"],
        [
            "arm", "runs", "maps alike (CC)", "answers alike %", "entropy", "energy inside people&#39;s map",
            "CC with people",
        ],
        [
            "arm", "replaced by", "untouched", "region kept", "kept: lost", "kept: flipped %", "region removed",
            "removed: lost", "removed: flipped %",
        ],
        ["arm", "what it changes in the recipe"],
    ]  # fmt: skip


def test_what_a_table_or_a_figure_holds_is_said_above_it(written):
    page = written.read_text("utf-8")
    assert [unescape(one) for one in re.findall(r'class="caption">(.*?)<', page)] == [
        "Mean paired difference and its 95 % t interval over seeds. No line: one seed, which says nothing about "
        "chance.",
        "Where the two differ most: the largest gains, and the largest loss.",
        "small",
        "Every arm on test_ood against ce and against its own controls: those that differ from it in their maps alone, "
        "and of cyborg those that the study names. The t interval speaks of other seeds; the last of the intervals "
        "draws seeds and test images again, and so speaks of other test images as well. With few seeds the bootstrap "
        "is too narrow.",
        "Mean paired difference and its 95 % t interval over seeds. No line: one seed, which says nothing about "
        "chance.",
        "Mean over seeds; the band is its 95 % t interval.",
        "accuracy on test_ood in points of 100, mean ± standard deviation over seeds. Controls as in data.maps; % of "
        "the maps: so many keep theirs, the others have none.",
        "A point per run: how far its maps agree with people's on test_ood (mean over images), and how well it answers "
        "there. An order over arms alone says that arms differ, not that one follows from the other.",
        "small, on test_ood. Maps alike: mean correlation (CC) of the maps of one image over all pairs of runs. "
        "Answers alike: share of equal answers over all pairs. Entropy: 0 = one cell, 1 = everywhere the same. Energy "
        "and CC: agreement with people, mean ± sd over runs.",
        "small: average map of the test images for the class answered, a picture per run, beside the average of "
        "people's maps; each stretched to the full range of colours, dark blue to yellow.",
        "A model that uses the region keeps its answers when the region is kept, and loses them when it is replaced "
        "by another image's background.",
        "small, annotated images of test_ood: accuracy in points (mean ± sd over seeds) where only the human region is "
        "kept and the rest replaced, and where only the region is replaced (other: by another image's background); "
        "what that loses, and the share of answers that change. A model that uses the region keeps its answers when "
        "it is kept and loses them when it is removed.",
        "small: of the analysed images of test_ood those where the mean probability of the true class differs most "
        "between cyborg and ce; gains first, then losses, the largest last. Maps: for the class answered, averaged "
        "over runs.",
        "The arms. All else is the same for all of them.",
    ]


def test_the_first_screen_answers_in_plain_words_and_the_rest_is_folded(page, written):
    text = written.read_text("utf-8")
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', text)
    assert lead == "No difference between cyborg and ce is shown on test_ood."
    before = text.partition("<details")[0]
    assert before.count('<figure class="tile">') == 3
    assert before.count("<svg") == before.count("<table") == 1
    assert "control: cyborg with maps of other images" in before
    assert "baseline: cross-entropy, no maps" in before
    assert text.count('<details class="section">') == 10
    assert "<summary><h2>What was run</h2></summary>" in text


def test_pages_of_runs_are_linked_if_they_were_made(plan, results, tmp_path):
    name = results.runs["path"].iloc[0].rpartition("/")[2]
    page = tmp_path / "runs" / name / "page" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    links = Page(write(plan, results, tmp_path).read_text("utf-8")).all("a")
    assert [link["href"] for link in links] == [f"runs/{name}/page/index.html"]


def test_every_figure_has_a_text_alternative(page):
    plots = page.all("svg")
    assert (
        len(plots) == 8
    )  # differences and learning curves of two sets, agreement of two kinds, and twice on the first
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 60 for plot in plots)
    names = [image["alt"] for image in page.all("img")]
    assert all(names)
    assert names.count("cyborg: people") == 1


def test_no_id_comes_twice(written):
    ids = re.findall(r' id="([^"]+)"', written.read_text("utf-8"))
    assert len(ids) == len(set(ids))


def test_every_section_is_there_and_says_its_figures(page, results):
    text = " ".join(page.text.split())
    values = results.figures.query("set == 'test_ood' and metric == 'accuracy' and images == -1")
    guided, plain = (100 * values[values["arm"] == arm].set_index("seed")["value"] for arm in ("cyborg", "ce"))
    assert f"cyborg reaches accuracy {guided.mean():.1f} on test_ood, ce {plain[:3].mean():.1f} (3 seeds)" in text
    assert f"{guided.mean():.1f} ± {guided.std():.1f}" in text
    for part in (
        "bootstrap: seeds and images", "p (Holm) is adjusted for 2 comparisons", "cyborg with 20 training images",
        "Spearman's rho over 30 runs", "maps alike (CC)", "kept: flipped %", "probability of this class",
        "the first 10 of 12 runs", "loss.name: cyborg; data.maps: shuffled", "salign experiment small.yaml",
    ):  # fmt: skip
        assert part in text, part
    assert all(name in text for name in results.runs["hash"])


def test_differences_that_stand_after_adjustment_are_named(plan, results, page, written):
    table = pd.read_csv(written.parent / "table.csv")
    standing = table[(table["p_holm"] < 0.05) & (table["arm"] != "cyborg")]
    words = "; ".join(f"{arm}, better" for arm in standing["arm"]) or "none"
    assert f"and below .05 they differ from ce: {words}." in " ".join(page.text.split())
    assert (standing["target_difference"] > 0).all()


def test_runs_shown_are_limited_and_named_by_seed(page):
    names = [image["alt"] for image in page.all("img")]
    caption = "inverted; the first 10 of 12 runs"
    assert [name for name in names if name.startswith(caption)] == [
        f"{caption}: {one}" for one in ["people", *(f"seed {seed}" for seed in range(10))]
    ]


def test_the_same_runs_elsewhere_in_any_order_give_the_same_bytes_without_path_or_date(
    plan, results, written, tmp_path
):
    for path in results.runs["path"]:
        shutil.copytree(path, tmp_path / "moved" / path.rpartition("/")[2])
    places = [str(tmp_path / "moved" / path.rpartition("/")[2]) for path in results.runs["path"]]
    moved = results.runs.assign(path=places).sample(frac=1, random_state=2)
    again = write_report(plan, results.figures.sample(frac=1, random_state=1), moved, tmp_path / "again").page
    tables = ["pairs", "results", "runs", "selection", "sets", "table"]
    names = sorted([*(f"{table}.csv" for table in tables), "report.html", "table.md", "table.tex"])
    assert sorted(path.name for path in written.parent.iterdir()) == names
    for name in names:
        assert (again.parent / name).read_bytes() == (written.parent / name).read_bytes(), name
        text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (written.parent / name).read_text("utf-8"))
        assert "/tmp" not in text
        assert str(tmp_path.parent) not in text
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_the_long_table_comes_back(results, written):
    read = pd.read_csv(written.parent / "results.csv")
    keys = [name for name in read.columns if name != "value"]
    ours = results.figures.astype({name: read[name].dtype for name in keys}).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(read, ours[read.columns], rtol=1e-14)


def test_a_study_without_finished_cells_has_a_page(plan, results, tmp_path):
    empty = Results(results.figures.iloc[:0], results.runs.iloc[:0], 7)
    page = Page(write(plan, empty, tmp_path).read_text("utf-8"))
    assert "7 of 7 cells are missing" in page.text
    assert "nothing to report yet" in page.text
    assert "img" not in page.tags


def test_one_seed_and_one_arm_have_a_page(plan, results, tmp_path):
    one = results.figures[(results.figures["seed"] == 0) & (results.figures["images"] == -1)]
    text = write_report(plan, one, results.runs[results.runs["seed"] == 0], tmp_path).page.read_text("utf-8")
    assert "One seed says nothing about chance." in text
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()
    alone = one[one["arm"] == "ce"]
    text = write_report(plan, alone, results.runs[results.runs["arm"] == "ce"], tmp_path).page.read_text("utf-8")
    assert "cyborg and ce have no finished seed in common" in text


def test_pictures_are_skipped_with_a_sentence_when_the_data_are_gone(digits, tmp_path):
    manifest = shutil.copytree(digits.parent, tmp_path / "digits") / digits.name
    plan = study(manifest, grids=[{"arms": ["ce", "cyborg"], "seeds": 2}])
    results = made(tmp_path, manifest, plan)
    assert "probability of this class" in write(plan, results, tmp_path).read_text("utf-8")
    shutil.rmtree(tmp_path / "digits")
    text = write(plan, results, tmp_path).read_text("utf-8")
    assert "small: no pictures. The images, or the maps of a run, are not where they were any more." in text
    assert "probability of this class" not in text
    assert str(tmp_path) not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_names_are_escaped(digits, tmp_path):
    nasty, formulas = "<script>alert(1)</script>", ["a$x$", "=1+1"]
    alike = {name: {"train": {"epochs": 9 + k}} for k, name in enumerate(formulas)}
    grids = [{"arms": ["ce", "cyborg", *formulas], "seeds": 2}]
    named = {"title": nasty, "question": nasty, "datasets": {nasty: {}}}
    plan = study(digits, **named, reference=None, arms=alike, grids=grids)
    results = made(tmp_path, digits, plan, QUALITY | dict.fromkeys(formulas, 0.6))
    page = Page(write(plan, results, tmp_path / "out").read_text("utf-8"))
    assert "script" not in page.tags
    assert page.text.count(nasty) > 5
    assert all(page.text.count(name) > 5 for name in formulas)
    assert f"{nasty}, on sets that are neither target nor reference.armtest_iidtest_iid − ce" in page.text.replace(
        "\n", ""
    )
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table["arm"].tolist() == ["ce", "cyborg", "'=1+1", "a$x$"]
    assert set(pd.read_csv(tmp_path / "out" / "results.csv")["arm"]) == {"ce", "cyborg", *formulas}
