"""A recipe and its sections; each section has a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.train.recipe.data import DataRecipe as DataRecipe, DrawnRecipe as DrawnRecipe
    from salign.train.recipe.loss import (
        LossRecipe as LossRecipe,
        PretrainLossRecipe as PretrainLossRecipe,
        SaliencyLossRecipe as SaliencyLossRecipe,
    )
    from salign.train.recipe.model import (
        EmbedderRecipe as EmbedderRecipe,
        ModelRecipe as ModelRecipe,
        NetworkRecipe as NetworkRecipe,
        SaliencyModelRecipe as SaliencyModelRecipe,
    )
    from salign.train.recipe.posthoc import (
        DfrRecipe as DfrRecipe,
        FuseRecipe as FuseRecipe,
        PosthocRecipe as PosthocRecipe,
        RebalanceRecipe as RebalanceRecipe,
    )
    from salign.train.recipe.recipe import (
        ClassifyRecipe as ClassifyRecipe,
        MapsRecipe as MapsRecipe,
        PretrainRecipe as PretrainRecipe,
        Recipe as Recipe,
        found_files as found_files,
        found_manifest as found_manifest,
    )
    from salign.train.recipe.stages import (
        ARM as ARM,
        bound as bound,
        named_arms as named_arms,
        named_runs as named_runs,
        references as references,
        resolved as resolved,
        stages_of as stages_of,
        with_arms as with_arms,
    )
    from salign.train.recipe.steps import StepRecipe as StepRecipe
    from salign.train.recipe.train import (
        SaliencyTrainRecipe as SaliencyTrainRecipe,
        TrainOptions as TrainOptions,
        TrainRecipe as TrainRecipe,
        undivided as undivided,
    )

lazy_index(__name__)
