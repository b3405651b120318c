"""The views of a scene, as a set or one after the other, to one latent: any number of views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..types import InputError, require_within


@dataclass(frozen=True)
class SetEncoderConfig:
    kind: Literal["mean", "attention", "recurrent"] = "mean"
    width: int = 512
    queries: int = 16  # attention only: learned queries that read the tokens of all views
    layers: int = 4  # attention only
    heads: int = 8  # attention only

    def __post_init__(self) -> None:
        limits = {"width": (1, 8192), "queries": (1, 1024), "layers": (1, 64), "heads": (1, 64)}
        require_within("encoder.set", self, limits)
        if self.width % self.heads:
            raise InputError(f"encoder.set.width {self.width} must divide by encoder.set.heads {self.heads}")


class MeanSetEncoder(nn.Module):
    """Deep sets (Zaheer et al. 2017): rho(mean_v phi(tokens of view v))."""

    def __init__(self, config: SetEncoderConfig, tokens: int, channels: int, latent: int) -> None:
        super().__init__()
        self.per_view = nn.Sequential(
            nn.Linear(tokens * channels, config.width), nn.ReLU(), nn.Linear(config.width, config.width)
        )
        self.after = nn.Sequential(nn.ReLU(), nn.Linear(config.width, latent))

    def forward(self, tokens: Float[Tensor, "scene view token channel"]) -> Float[Tensor, "scene latent"]:
        return self.after(self.per_view(tokens.flatten(2)).mean(dim=1))


class RecurrentSetEncoder(nn.Module):
    """A gated recurrent unit (Cho et al. 2014) that reads the views one after the other, as they come."""

    def __init__(self, config: SetEncoderConfig, tokens: int, channels: int, latent: int) -> None:
        super().__init__()
        self.per_view = nn.Sequential(nn.Linear(tokens * channels, config.width), nn.ReLU())
        self.unit = nn.GRUCell(config.width, config.width)
        self.latent = nn.Linear(config.width, latent)

    def step(self, hidden: Float[Tensor, "scene width"] | None, tokens: Float[Tensor, "scene token channel"]) -> Tensor:
        """The hidden state after one view more; None: before the first."""
        return self.unit(self.per_view(tokens.flatten(1)), hidden)

    def forward(self, tokens: Float[Tensor, "scene view token channel"]) -> Float[Tensor, "scene latent"]:
        hidden = None
        for view in tokens.unbind(1):
            hidden = self.step(hidden, view)
        return self.latent(hidden)


class AttentionSetEncoder(nn.Module):
    """Learned queries attend to the tokens of all views, then to each other (PMA: Lee et al. 2019; Jaegle et al. 2021).

    No token knows its view's number, only its rays (from the image encoder), so the order of views cannot matter.
    """

    def __init__(self, config: SetEncoderConfig, tokens: int, channels: int, latent: int) -> None:
        super().__init__()
        width = config.width
        self.read = nn.Linear(channels, width)
        self.place = nn.Parameter(torch.randn(tokens, width) * 0.02)  # of a token within its image
        self.queries = nn.Parameter(torch.randn(config.queries, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, config.heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.after = nn.Sequential(nn.LayerNorm(width), nn.Flatten(), nn.Linear(config.queries * width, latent))

    def forward(self, tokens: Float[Tensor, "scene view token channel"]) -> Float[Tensor, "scene latent"]:
        memory = (self.read(tokens) + self.place).flatten(1, 2)
        state = self.queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            state = layer(state, memory)
        return self.after(state)


def build_set_encoder(config: SetEncoderConfig, tokens: int, channels: int, latent: int) -> nn.Module:
    """The set encoder of `config.kind`, for `tokens` tokens of `channels` channels a view."""
    kinds = {"mean": MeanSetEncoder, "attention": AttentionSetEncoder, "recurrent": RecurrentSetEncoder}
    return kinds[config.kind](config, tokens, channels, latent)
