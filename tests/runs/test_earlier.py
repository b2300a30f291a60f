"""What version 0.1 called the training of nets that draw maps is still found, with a warning."""

from __future__ import annotations

import importlib
import sys

import pytest

import salign
from command import small
from salign.runs.evaluate import evaluate_run
from salign.runs.explain import explain_run
from salign.train.recipe import MapsRecipe, Recipe


def test_the_old_names_are_the_new_ones(digits, trained, monkeypatch):
    for name in ("salign.train.saliency", "salign.train.saliency_recipe"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        with pytest.warns(DeprecationWarning, match=f"{name} is salign.runs.earlier now"):
            importlib.import_module(name)
    old, recipes = sys.modules["salign.train.saliency"], sys.modules["salign.train.saliency_recipe"]
    assert recipes.SaliencyRecipe is MapsRecipe
    begun = old.start_from(Recipe.build(small(digits)), trained)
    assert begun == Recipe.build(small(digits, model={"weights": str(trained)}))
    asked = []
    monkeypatch.setattr("salign.runs.earlier.fit", lambda *given, **options: asked.append((given, options)))
    old.fit_saliency("recipe", "out", resume=True)
    assert asked == [(("recipe", "out"), {"resume": True})]
    assert salign.fit is not old.fit_saliency


def test_the_module_of_figures_and_pictures_is_found(monkeypatch):
    monkeypatch.delitem(sys.modules, "salign.train.report", raising=False)
    with pytest.warns(DeprecationWarning, match=r"salign\.train\.report is salign\.runs\.earlier now"):
        old = importlib.import_module("salign.train.report")
    assert (old.evaluate_run, old.explain_run) == (evaluate_run, explain_run)
