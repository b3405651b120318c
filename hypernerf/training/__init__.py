"""Training a generator on many scenes, and measuring it on others."""

from .adaptation import Adaptation, AdaptConfig, adapt
from .evaluation import (
    Scores,
    check_views,
    evaluate_fields,
    evaluate_images,
    mean_code,
    mean_image,
    nearest_context_view,
    reconstruct,
    target_views,
)
from .evenly import evenly
from .experiment import EvaluateConfig, Experiment, TrainConfig
from .step import StepReport
from .store import StoredScene, context_views, normalized, shared_sphere, shared_up, store_scene
from .trainer import Trainer

__all__ = [
    "AdaptConfig", "Adaptation", "EvaluateConfig", "Experiment", "Scores", "StepReport", "StoredScene", "TrainConfig", "Trainer",
    "adapt", "check_views", "context_views", "evaluate_fields", "evaluate_images", "mean_image", "mean_code",
    "nearest_context_view", "evenly", "normalized", "reconstruct", "shared_sphere", "shared_up", "store_scene", "target_views",
]  # fmt: skip
