"""How alike two images are. All metrics take images [view, height, width, 3] in [0, 1] and give one value a view."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "view height width 3"]
SMALLEST = 11  # pixels along a side of an image that `ssim` takes
ImageMetric = Callable[[Tensor, Tensor], Tensor]


def psnr(prediction: Images, target: Images) -> Float[Tensor, " view"]:
    """Peak signal-to-noise ratio, -10 log10 of the mean squared error, in dB; 100 for equal images."""
    error = (prediction - target).square().flatten(1).mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))


def ssim(prediction: Images, target: Images) -> Float[Tensor, " view"]:
    """Structural similarity with a Gaussian window of deviation 1.5 over 11 pixels (Wang et al. 2004), mean over channels.

    As `skimage.metrics.structural_similarity(gaussian_weights=True, use_sample_covariance=False, data_range=1)`: pixels
    within 5 of the border are left out of the mean.
    """
    if min(prediction.shape[1:3]) < SMALLEST:
        raise ValueError(f"SSIM needs images of at least {SMALLEST}x{SMALLEST} pixels, not {tuple(prediction.shape[1:3])}")
    offset = torch.arange(-5, 6, dtype=prediction.dtype, device=prediction.device)
    window = torch.exp(-0.5 * (offset / 1.5) ** 2)
    window = window / window.sum()

    def blur(images: Tensor) -> Tensor:
        channels = images.permute(0, 3, 1, 2).flatten(0, 1)[:, None]
        rows = torch.nn.functional.conv2d(channels, window.reshape(1, 1, -1, 1))
        return torch.nn.functional.conv2d(rows, window.reshape(1, 1, 1, -1))

    mean_p, mean_t = blur(prediction), blur(target)
    variance_p = blur(prediction * prediction) - mean_p * mean_p
    variance_t = blur(target * target) - mean_t * mean_t
    covariance = blur(prediction * target) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mean_p * mean_t + c1) * (2 * covariance + c2)) / ((mean_p**2 + mean_t**2 + c1) * (variance_p + variance_t + c2))
    return score.reshape(len(prediction), -1).mean(1)


def lpips_metric() -> tuple[ImageMetric | None, str]:
    """Learned perceptual distance (Zhang et al. 2018, AlexNet), if the `lpips` package and its weights are there.

    Returns (metric, "") or (None, the reason why not).
    """
    try:
        import lpips
    except ImportError as error:
        return None, f"the lpips package is not importable ({error}): pip install 'hypernerf[metrics]'"
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval().requires_grad_(False)
    except Exception as error:  # a download that fails raises many types
        return None, f"the weights of lpips could not be loaded ({error})"

    def metric(prediction: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            first, second = (images.permute(0, 3, 1, 2) * 2 - 1 for images in (prediction, target))
            return network(first, second).flatten()

    return metric, ""
