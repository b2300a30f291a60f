"""Choice of an architecture: train a few candidates, and let a predictor rank the rest.

Only the command line imports this package. `salign.search.spaces` loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.search.predictor import Predictor as Predictor, edit_cells as edit_cells, pretrain as pretrain
    from salign.search.rank import PREDICTORS as PREDICTORS, cross_validate as cross_validate, rank_cells as rank_cells
    from salign.search.spaces import SPACES as SPACES, Space as Space, read_space as read_space

lazy_index(__name__)
