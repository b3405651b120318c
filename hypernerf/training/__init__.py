"""Training a generator on many scenes, and measuring it on others."""

from .evaluation import (
    Scores,
    evaluate_fields,
    evaluate_images,
    mean_code,
    mean_image,
    nearest_context_view,
    reconstruct,
    target_views,
)
from .experiment import EvaluateConfig, Experiment, TrainConfig
from .store import StoredScene, normalized, shared_sphere, shared_up, store_scene
from .trainer import StepReport, Trainer

__all__ = [
    "EvaluateConfig", "Experiment", "Scores", "StepReport", "StoredScene", "TrainConfig", "Trainer", "evaluate_fields",
    "evaluate_images", "mean_image", "mean_code", "nearest_context_view", "normalized", "reconstruct",
    "shared_sphere", "shared_up", "store_scene", "target_views",
]  # fmt: skip
