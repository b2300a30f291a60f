"""What a model looked at: functions `(model, images, classes) -> maps`."""

from salign.explain.cam import cam
from salign.explain.grad_cam import grad_cam, grad_cam_of
from salign.explain.rise import rise
from salign.explain.rollout import rollout

EXPLAINERS = {"cam": cam, "grad_cam": grad_cam, "rise": rise}
"""Name -> explainer; `rise` also needs a generator."""

__all__ = ["EXPLAINERS", "cam", "grad_cam", "grad_cam_of", "rise", "rollout"]
