"""What peer_speed needs of a clone of Trans-INR, written anew and small: the same names, the same meanings."""

from __future__ import annotations

import textwrap
from pathlib import Path

FILES = {
    "models/__init__.py": """
        import torch
        from torch import nn

        class Field:
            use_viewdirs = False
            def __init__(self, args, weights):
                self.args, self.weights = args, weights
            def __call__(self, points):
                octaves = 2 ** torch.linspace(0, 8, self.args["pe_dim"] // 2)
                hidden = torch.cat([f((points[..., None] * octaves).flatten(-2)) for f in (torch.cos, torch.sin)], -1)
                for number, weight in enumerate(self.weights):
                    hidden = hidden @ weight if number == 0 else torch.relu(hidden) @ weight
                return hidden

        class Model(nn.Module):
            def __init__(self, tokenizer, hyponet, n_groups, transformer_encoder):
                super().__init__()
                args, dim = hyponet["args"], transformer_encoder["args"]["dim"]
                self.args, self.patch = args, tokenizer["args"]["patch_size"]
                self.tokenizer = nn.Linear(3 * self.patch ** 2, dim)
                self.transformer_encoder = nn.Linear(dim, dim)
                widths = [3 * args["pe_dim"], *[args["hidden_dim"]] * (args["depth"] - 1), 4]
                self.base = nn.ParameterList(torch.randn(a, b) / a ** 0.5 for a, b in zip(widths, widths[1:]))
                self.scale = nn.Linear(dim, 1)
            def forward(self, data):
                patches = nn.functional.unfold(data["support_imgs"].flatten(0, 1), self.patch, stride=self.patch)
                tokens = self.transformer_encoder(self.tokenizer(patches.mT)).mean(1)
                scale = self.scale(tokens).unflatten(0, data["support_imgs"].shape[:2]).mean(1)[..., None]
                return Field(self.args, [weight * (1 + scale) for weight in self.base])

        def make(spec):
            return Model(**spec["args"])
    """,
    "models/trans_inr.py": "",
    "utils/__init__.py": """
        import torch

        def make_optimizer(parameters, spec):
            return torch.optim.Adam(parameters, **spec["args"])

        def batched_volume_rendering(nerf, origins, directions, near, far, points_per_ray, use_viewdirs, rand, batch_size):
            shape, parts = origins.shape, []
            for o, d in zip(origins.flatten(1, -2).split(batch_size, 1), directions.flatten(1, -2).split(batch_size, 1)):
                depth = torch.linspace(near, far, points_per_ray)
                points = o[:, :, None] + d[:, :, None] * depth[:, None]
                raw = nerf(points.flatten(1, 2)).unflatten(1, points.shape[1:3])
                step = torch.cat([depth[1:] - depth[:-1], torch.tensor([1e-3])])
                alpha = 1 - torch.exp(-torch.relu(raw[..., 3]) * step)
                left = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha[..., :-1]], -1), -1)
                share = alpha * left
                parts.append((share[..., None] * torch.sigmoid(raw[..., :3])).sum(-2) + 1 - share.sum(-1, keepdim=True))
            return torch.cat(parts, 1).reshape(shape)
    """,
    "trainers/__init__.py": "",
    "trainers/nvs_trainer.py": """
        class NvsTrainer:
            def train_step(self, data):
                data = {name: value.cuda() for name, value in data.items()}
                rays, points = self.cfg["train_n_rays"], self.cfg["train_points_per_ray"]
                field = self.model_ddp(data)
                scenes = len(data["support_imgs"])
                asked = data["near"].new_zeros(scenes, rays * points, 3).uniform_(-1, 1)
                loss = field(asked).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                return {"loss": loss.item()}
    """,
    "cfgs/nvs_shapenet_chairs.yaml": """
        model:
          name: trans_inr
          args:
            tokenizer: {name: nvs_tokenizer, args: {input_size: 128, patch_size: 8}}
            hyponet: {name: hypo_nerf, args: {}}
            n_groups: 32
            transformer_encoder: {name: transformer_encoder, args: {dim: 768}}
        train_points_per_ray: 128
        train_n_rays: 128
        optimizer: {name: adam, args: {lr: 1.e-4}}
        max_epoch: 1000
    """,
}


def write_clone(folder: Path) -> Path:
    """Writes it into `folder`."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder
