"""pixelNeRF (Yu et al. 2021), from https://github.com/sxyu/pixel-nerf.

Its `train/train.py` runs as it is (network, renderer with coarse and fine points, rays drawn, both losses, Adam), with our scenes
where it would read a data set, from `conf/exp/sn64.conf` (its recipe for 64x64 images) with these departures:

* sizes for two CPU cores: see `PixelNerfConfig` beside the recipe's values;
* its ResNet-34 starts from random weights, not from ImageNet's, unless `encoder_weights` names a file of torchvision's;
* one model reads 1, 2 or 3 views, drawn anew each step: its own `-V "1 2 3"`;
* rays are drawn in the object's bounding box for the first `box_share` of the run; there for the first 100,000 steps;
* whole images are rendered with the points of training; its evaluation takes at least 64 coarse ones;
* near and far are the scene sphere's bounds. Its pixel centers are whole numbers: principal points are moved by half a pixel.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import tempfile
import types
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from hypernerf.geometry import to_opengl
from hypernerf.training import StoredScene
from hypernerf.types import InputError

from . import resnet
from .common import Kind, Material, Moment, scene_batch
from .repository import Repository, StandIn

REPOSITORY = Repository(
    url="https://github.com/sxyu/pixel-nerf",
    commit="91a044bdd62aebe0ed3a5685ca37cb8a9dc8e8ee",
    marker="src/model/models.py",
    packages=("pyhocon", "dotmap"),
    unused=("cv2", "torchvision", "torchvision.transforms", "torchvision.models"),
    sources="src",
)


EVALUATED_RAYS = 1 << 7  # at a time, so that a chunk's features stay in cache


@dataclass(frozen=True)
class PixelNerfConfig:
    """The recipe's values in comments."""

    learning_rate: float = 3e-4  # 1e-4, for a network four times as wide
    scenes: int = 4  # a step, as there
    rays: int = 64  # a scene; 128
    coarse: int = 24  # points a ray, all over its length; 64
    fine: int = 12  # more points where the coarse ones found something; 32
    fine_depth: int = 6  # of which so many about the expected depth; 16
    hidden: int = 128  # width of the two networks of five residual blocks; 512
    encoder_layers: int = 3  # stages of the ResNet; 4 (three already see the whole of a 64x64 image)
    encoder_weights: str | None = None
    box_share: float = 0.25


class PixelNerf:
    def __init__(self, settings: PixelNerfConfig, material: Material, counts: Sequence[int]) -> None:
        _require_one_camera([*material.train, *material.watched, *material.scored])
        if isinstance(sys.modules["torchvision"], StandIn):
            sys.modules["torchvision"].models = resnet  # type: ignore[attr-defined]
        self.settings, self.material = settings, material
        torch.manual_seed(material.experiment.train.seed)
        script = _run_script(settings, material, counts)
        self.script, self.trainer, self.model = script, script.trainer, script.net
        self.optimizer = self.trainer.optim
        self.render = script.renderer.bind_parallel(self.model, None, simple_output=True)
        if settings.encoder_weights is not None:
            _load_encoder(self.model.encoder.model, settings.encoder_weights)

    def step(self, moment: Moment) -> float:
        scenes = scene_batch(self.material.train, self.settings.scenes, moment)
        self.script.renderer.train()
        boxed = moment.progress < self.settings.box_share
        loss = self.trainer.train_step(_batch(scenes), 0 if boxed else self.script.args.no_bbox_step)["t"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.trainer.post_batch(0, moment.step)
        return loss

    def predict(self, scene: StoredScene, views: Sequence[int], targets: Sequence[int]) -> Tensor:
        images, poses, focal, center = _camera_form(scene, views)
        self.model.encode(images[None], poses[None], focal[None], c=center[None])
        height, width = scene.cameras.height, scene.cameras.width
        _, poses, _, _ = _camera_form(scene, targets)
        rays = self.script.util.gen_rays(poses, width, height, focal, self.material.near, self.material.far, c=center)
        self.render.eval()
        colors = [self.render(part[None])[0][0] for part in rays.reshape(-1, 8).split(EVALUATED_RAYS)]
        return torch.cat(colors).reshape(len(targets), height, width, 3)


def _camera_form(scene: StoredScene, views: Sequence[int] | slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Its form of views: images [view, 3, row, column] in [-1, 1], poses [view, 4, 4], focal lengths [2], center [2]."""
    chosen = views if isinstance(views, slice) else list(views)
    cameras = scene.cameras[chosen]
    images = scene.image(chosen).permute(0, 3, 1, 2) * 2 - 1
    return images, to_opengl(cameras.camera_to_world), cameras.intrinsics[0, :2], cameras.intrinsics[0, 2:] - 0.5


def object_boxes(scene: StoredScene) -> Tensor:
    """The first and last column and row with the object, [view, 4] as (column, row, column, row); all, where nothing is seen."""
    shown = (scene.images < 255).any(-1)
    height, width = shown.shape[1:]
    boxes = torch.tensor([0, 0, width - 1, height - 1], dtype=torch.float32).repeat(len(shown), 1)
    for view, mask in enumerate(shown):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        if len(rows):
            boxes[view] = torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).float()
    return boxes


def _batch(scenes: Sequence[StoredScene]) -> dict[str, Tensor]:
    """What its data loader would give: all views of some scenes, as many of each as the one with the fewest has."""
    most = min(len(scene) for scene in scenes)
    images, poses, focal, center = zip(*(_camera_form(scene, slice(most)) for scene in scenes), strict=True)
    return {
        "images": torch.stack(images),
        "poses": torch.stack(poses),
        "focal": torch.stack(focal),
        "c": torch.stack(center),
        "bbox": torch.stack([object_boxes(scene)[:most] for scene in scenes]),
    }


def _require_one_camera(scenes: Sequence[StoredScene]) -> None:
    for scene in scenes:
        if bool(((scene.cameras.intrinsics - scene.cameras.intrinsics[0]).abs() > 0.01).any()):
            raise InputError(f"{scene.scene_id}: pixelNeRF takes one set of intrinsics a scene, this scene's views differ")


def _run_script(settings: PixelNerfConfig, material: Material, counts: Sequence[int]) -> Any:
    """Its training script as a module, with our scenes' bounds for a data set and without its loop."""

    class Trainer:
        """In place of `trainlib.Trainer`: loaders, logs and files are ours, the optimiser is as there."""

        def __init__(self, net, train_dataset, test_dataset, args, conf, device=None) -> None:
            self.net, self.args = net, args
            self.optim = torch.optim.Adam(net.parameters(), lr=args.lr)

        def start(self) -> None:
            pass

    bounds = types.SimpleNamespace(z_near=material.near, z_far=material.far, lindisp=False)
    modules: dict[str, Any] = {
        "trainlib": types.SimpleNamespace(Trainer=Trainer),
        "data": types.SimpleNamespace(get_split_dataset=lambda *_: (bounds, bounds, bounds)),
    }
    warnings.filterwarnings("ignore", message="torch.meshgrid")  # in each of its steps
    assert material.repository is not None
    path = material.repository / "train" / "train.py"
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "ours.conf"
        conf.write_text(_configuration(settings, material.repository))
        arguments = [
            path, "-n", "ours", "-c", conf, "-F", "srn", "-D", folder, "-B", settings.scenes, "-R", settings.rays,
            "-V", " ".join(map(str, counts)), "--lr", settings.learning_rate,
            "--checkpoints_path", folder, "--visual_path", folder, "--logs_path", folder,
        ]  # fmt: skip
        spec = importlib.util.spec_from_file_location("pixel_nerf_train", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.update(modules)
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(sys, "argv", list(map(str, arguments))))
            stack.enter_context(mock.patch.object(torch.cuda, "is_available", return_value=False))  # the CPU is what is compared
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            spec.loader.exec_module(module)
    return module


def _configuration(settings: PixelNerfConfig, repository: Path) -> str:
    network = f"{{ n_blocks = 5, d_hidden = {settings.hidden} }}"
    return f"""include required(file("{repository / "conf" / "exp" / "sn64.conf"}"))
model {{
    mlp_coarse {network}
    mlp_fine {network}
    encoder {{ pretrained = False, num_layers = {settings.encoder_layers} }}
}}
renderer {{ n_coarse = {settings.coarse}, n_fine = {settings.fine}, n_fine_depth = {settings.fine_depth} }}
"""


def _load_encoder(encoder: torch.nn.Module, file: str) -> None:
    """Puts torchvision's weights into the ResNet, but for its last layer, which is not there."""
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        encoder.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
    except Exception as error:  # torch raises many types
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file}: holds no ResNet-34 weights of torchvision's ({reason}): mend peer.encoder_weights") from None


KIND = Kind(PixelNerfConfig, PixelNerf, any_count=True, repository=REPOSITORY)
