"""DGN, a network that makes one template from the matrices of many subjects with several views.

The method is that of Gurbuz and Rekik, "Deep Graph Normalizer" (arXiv 2012.14131), as arXiv 2110.11238 uses it. Three
edge-conditioned convolutions give each region an embedding. The template holds the L1 distances between embeddings, so
it is symmetric, has zeros on its diagonal, and has no connection below zero. Matrices that may be negative must be
shifted first.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from salign.checks import number, tensors
from salign.errors import SalignError
from salign.maps.template import median_template
from salign.progress import Bar

WIDTHS = (1, 36, 24, 5)
"""Number of features of a region: of the input, which is 1 everywhere, and after each of the three convolutions."""


class EdgeConvolution(nn.Module):
    """An edge-conditioned convolution (Simonovsky, arXiv 1704.02901).

    It computes `x_i W + mean over j != i of x_j Theta(e_ij) + b`, with `Theta = relu(linear(e))`.

    Args:
        views: number of features of an edge.
        inputs: number of features of a node.
        outputs: number of features of a node after the convolution.
    """

    def __init__(self, views: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.edge = nn.Linear(views, inputs * outputs)
        self.own = nn.Linear(inputs, outputs)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Map nodes `(R, inputs)` to `(R, outputs)` by edges `(R, R, views)`, whose diagonal is not used."""
        count = len(nodes)
        theta = self.edge(edges).relu().view(count, count, self.inputs, self.outputs)
        apart = 1 - torch.eye(count, dtype=nodes.dtype, device=nodes.device)
        averaged = torch.einsum("ij,jc,ijcd->id", apart, nodes, theta) / (count - 1)
        out: Tensor = self.own(nodes) + averaged
        return out


class TemplateNet(nn.Module):
    """A network from the matrices of one subject, `(V, R, R)`, to the template that they suggest, `(R, R)`."""

    def __init__(self, views: int) -> None:
        super().__init__()
        sizes = itertools.pairwise(WIDTHS)
        self.layers = nn.ModuleList([EdgeConvolution(views, inputs, outputs) for inputs, outputs in sizes])

    def forward(self, matrices: Tensor) -> Tensor:
        """Return the template that one subject suggests."""
        edges = matrices.permute(1, 2, 0)
        nodes = torch.ones(len(edges), 1, dtype=edges.dtype, device=edges.device)
        for layer in self.layers:
            nodes = layer(nodes, edges).relu()
        return (nodes[:, None] - nodes[None]).abs().sum(2)


def dgn_template(
    matrices: Tensor, *, epochs: int = 20, targets: int = 10, lr: float = 5e-4, seed: int = 0, progress: bool = False
) -> Tensor:
    """Train the network on subjects, and return the element-wise median of the templates that they suggest.

    The loss of a subject is the mean Frobenius distance from its template to `targets` random subjects in every view.
    Each distance is divided by the mean of its view, so that no view counts more than another.

    Args:
        matrices: `(N, V, R, R)` symmetric, not negative.
        epochs: number of passes over all subjects.
        targets: number of subjects with which each template is compared.
        lr: learning rate of Adam.
        seed: decides the first weights and everything that is drawn.
        progress: whether to show a progress bar.

    Returns:
        The template, `(R, R)`.

    Raises:
        SalignError: a matrix has a value below zero, or `epochs` is below 1.
    """
    tensors(matrices=(matrices, "float (N, V, R, R)"))
    number("epochs", epochs, "[1, inf)", whole=True)
    if bool((matrices < 0).any()):
        raise SalignError("matrices: expected no connection below zero, as distances have none; shift them first.")
    torch.manual_seed(seed)
    net = TemplateNet(matrices.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    scale = 1 / matrices.mean((0, 2, 3)).clamp(min=1e-12)
    with Bar("DGN", epochs * len(matrices), show=progress) as bar:
        for _ in range(epochs):
            for i in torch.randperm(len(matrices)).tolist():
                compared = torch.randint(len(matrices), (targets,))
                apart = (matrices[compared] - net(matrices[i])).flatten(2).norm(dim=2)
                loss = (apart * scale).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.advance()
    with torch.no_grad():
        return median_template(torch.stack([net(subject) for subject in matrices]))
