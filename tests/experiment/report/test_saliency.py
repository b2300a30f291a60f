from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from made_study import made, study
from salign.errors import SalignError
from salign.experiment.report.answers import Answers, read_answers
from salign.experiment.report.examples import choose, examples
from salign.experiment.report.saliency import picture, read_arm
from salign.maps.render import heat


@pytest.fixture(scope="module")
def paths(digits, tmp_path_factory):
    """Run folders of each arm, by seed."""
    plan = study(digits, grids=[{"arms": ["ce", "cyborg"], "seeds": 3}])
    runs = made(tmp_path_factory.mktemp("studies"), digits, plan).runs.sort_values("seed")
    return {arm: rows["path"].tolist() for arm, rows in runs.groupby("arm")}


def stored(path):
    with np.load(f"{path}/analysis/maps.npz") as file:
        return {name: file[name] for name in file.files}


def test_agreement_of_runs_is_the_mean_over_pairs_and_images(paths):
    found = read_arm(paths["ce"], "test_ood")
    runs = [stored(path) for path in paths["ce"]]
    scaled = [one["test_ood/maps"].astype(np.float64) for one in runs]
    pairs = [
        np.corrcoef(first.ravel(), second.ravel())[0, 1]
        for one, two in itertools.combinations(scaled, 2)
        for first, second in zip(one, two, strict=True)
    ]
    assert found.agreement == pytest.approx(np.mean(pairs), abs=1e-6)
    answers = [one["test_ood/predicted"] for one in runs]
    equal = [(one == two).mean() for one, two in itertools.combinations(answers, 2)]
    assert found.answers == pytest.approx(np.mean(equal))
    shares = [one / one.sum() for run in scaled for one in run]
    spread = [-(one[one > 0] * np.log(one[one > 0])).sum() / np.log(36) for one in shares]
    assert found.spread == pytest.approx(np.mean(spread), abs=1e-6)
    for average, run in zip(found.averages, scaled, strict=True):
        np.testing.assert_allclose(average, run.mean(0), atol=1e-3)
    third = found.ids[3]
    np.testing.assert_allclose(found.of(third), np.mean([run[3] for run in scaled], axis=0), atol=1e-3)


def test_guided_runs_agree_and_one_run_cannot(paths):
    assert read_arm(paths["cyborg"], "test_ood").agreement > read_arm(paths["ce"], "test_ood").agreement + 0.3
    alone = read_arm(paths["ce"][:1], "test_ood")
    assert np.isnan([alone.agreement, alone.answers]).all()
    assert len(read_arm(paths["ce"] * 5, "test_ood").maps) == 10


def test_runs_that_cannot_be_compared_are_refused(paths, tmp_path):
    with pytest.raises(SalignError, match=r"not analysed on test_far; there are test_iid, test_ood"):
        read_arm(paths["ce"], "test_far")
    other = Path(shutil.copytree(paths["ce"][0], tmp_path / "other"))
    arrays = stored(other)
    np.savez(other / "analysis/maps.npz", **{**arrays, "test_ood/ids": arrays["test_ood/ids"][::-1]})
    with pytest.raises(SalignError, match="other was analysed on other images of test_ood"):
        read_arm([paths["ce"][0], str(other)], "test_ood")
    (other / "analysis/done").unlink()
    with pytest.raises(SalignError, match="other has not been analysed"):
        read_arm([str(other)], "test_ood")


def test_a_picture_of_a_map_uses_all_colours(paths):
    average = read_arm(paths["ce"], "test_ood").averages[0]
    shown = np.asarray(picture(average))
    assert shown.shape == (6, 6, 3)
    place = np.unravel_index(int(average.argmax()), (6, 6))
    ends = heat(average.new_tensor([[0.0, 1.0]]))
    assert shown[place].tolist() == ends[0, 1].tolist()
    assert shown[np.unravel_index(int(average.argmin()), (6, 6))].tolist() == ends[0, 0].tolist()


def test_examples_are_the_largest_gains_and_losses(paths):
    first, second = (read_answers(paths[arm], "test_ood") for arm in ("cyborg", "ce"))
    among = first.ids[::2]
    gains = {name: a - b for name, a, b in zip(first.ids, first.truth, second.truth, strict=True) if name in among}
    ranked = sorted(gains, key=lambda name: -gains[name])
    chosen = [first.ids[k] for k in choose(first, second, among, 5)]
    losses = [name for name in ranked if gains[name] < 0][-2:]
    assert chosen == [*ranked[:3], *losses]
    assert all(gains[name] > 0 for name in ranked[:3])
    same = Answers(first.ids, first.classes, first.labels, first.probabilities)
    assert choose(first, same, among, 5) == []


def test_examples_show_the_image_people_and_every_arm(paths, digits):
    first, second = (read_answers(paths[arm], "test_ood") for arm in ("cyborg", "ce"))
    maps = {arm: read_arm(paths[arm], "test_ood") for arm in ("cyborg", "ce")}
    found = examples(paths["cyborg"][0], "test_ood", first, second, maps, most=2)
    for one in found:
        assert [name for name, _ in one.pictures] == ["image", "people", "cyborg", "ce"]
        row = first.ids.index(one.id)
        assert (one.first, one.second) == pytest.approx((first.truth[row], second.truth[row]))
        assert one.label == first.classes[first.labels[row]]
        pixels = [np.asarray(shown).astype(int) for _, shown in one.pictures]
        assert pixels[0].shape == (64, 64, 3)
        assert all(np.abs(pixels[0] - other).max() > 20 for other in pixels[1:])
