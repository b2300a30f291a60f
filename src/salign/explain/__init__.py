"""What a model looked at: functions `(model, images, classes) -> maps`, and a gallery to see them."""

from salign.explain.cam import cam
from salign.explain.gallery import Item, write_gallery, write_grid_png
from salign.explain.grad_cam import grad_cam, grad_cam_of
from salign.explain.rise import rise
from salign.explain.rollout import rollout

EXPLAINERS = {"cam": cam, "grad_cam": grad_cam, "rise": rise}
"""Name -> explainer; `rise` also needs a generator."""

__all__ = ["EXPLAINERS", "Item", "cam", "grad_cam", "grad_cam_of", "rise", "rollout", "write_gallery", "write_grid_png"]
