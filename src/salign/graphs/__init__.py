"""Beyond images: labels spread to neighbours, encoders of texts in a graph, and templates of connectivity.

Only the command line imports this package. `salign.graphs.tables` loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.graphs.deconvolution import deconvolve as deconvolve, spread_labels as spread_labels
    from salign.graphs.neighbours import (
        Neighbours as Neighbours,
        from_groups as from_groups,
        from_links as from_links,
        neighbour_mean as neighbour_mean,
        symmetric_mean as symmetric_mean,
    )
    from salign.graphs.networks import GraphHead as GraphHead, WordEncoder as WordEncoder, weigh_words as weigh_words
    from salign.graphs.template import (
        TEMPLATES as TEMPLATES,
        centredness as centredness,
        follow_up as follow_up,
        medoid as medoid,
        nearest_scores as nearest_scores,
    )
    from salign.graphs.train import NodeSets as NodeSets, train_nodes as train_nodes

lazy_index(__name__)
