"""The volume rendering integral by quadrature (Max 1995; Mildenhall et al. 2020, eq. 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def volume_weights(
    density: Float[Tensor, "*batch sample"], lengths: Float[Tensor, "*batch sample"]
) -> Float[Tensor, "*batch sample"]:
    """How much of what the ray sees comes from each sample, front to back.

    w_i = T_i (1 - exp(-s_i l_i)), T_i = exp(-sum_{j<i} s_j l_j), for density s >= 0 that is constant along each length l.
    Exact for piecewise constant densities; sum_i w_i = 1 - exp(-sum_i s_i l_i) <= 1.
    """
    depth = density * lengths
    before = torch.cumsum(depth, dim=-1) - depth
    return torch.exp(-before) * -torch.expm1(-depth)


def composite(
    weights: Float[Tensor, "*batch sample"], values: Float[Tensor, "*batch sample channel"]
) -> Float[Tensor, "*batch channel"]:
    """sum_i w_i v_i along each ray."""
    return torch.einsum("...s,...sc->...c", weights, values)
