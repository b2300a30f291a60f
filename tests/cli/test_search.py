"""The command that `salign search` prints where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from command import salign, small
from salign.cli import experiment
from salign.errors import SalignError


def test_the_command_to_go_on_has_every_option_that_decides_the_search(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, again: str, quiet: bool) -> None:
        raise SalignError(again)

    monkeypatch.setattr(experiment, "run_cells", interrupted)
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(yaml.safe_dump(small(digits)))
    Path("nets.yaml").write_text(yaml.safe_dump({"train.lr": [k / 100 for k in range(1, 31)]}))
    options = ["--metric", "auroc", "--predictor", "ridge", "--order", "none", "--best", "2", "--seed", "4"]
    said = salign("search", "recipe.yaml", "--space", "nets.yaml", "--budget", "10", *options, code=2)
    again = "salign search recipe.yaml --space nets.yaml --budget 10"
    assert f"{again} {' '.join(options)} --out searches" in " ".join(said.err.split())
