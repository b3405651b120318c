"""ResNet-18 and ResNet-34 (He et al. 2016) under the names that torchvision has for their parts, for where it cannot be imported.

Pretrained weights of torchvision fit; none come with this file.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a way past them."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = norm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x: Float[Tensor, "image inputs row column"]) -> Float[Tensor, "image outputs row2 column2"]:
        past = x if self.downsample is None else self.downsample(x)
        inner = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(inner)) + past)


class ResNet(nn.Module):
    """Class scores of images; `blocks` in each of the four stages, of 64, 128, 256 and 512 channels."""

    def __init__(self, blocks: tuple[int, int, int, int], norm: Norm, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, blocks[0], 1, norm)
        self.layer2 = _stage(64, 128, blocks[1], 2, norm)
        self.layer3 = _stage(128, 256, blocks[2], 2, norm)
        self.layer4 = _stage(256, 512, blocks[3], 2, norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "image 3 row column"]) -> Float[Tensor, "image classes"]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(inputs: int, outputs: int, blocks: int, stride: int, norm: Norm) -> nn.Sequential:
    rest = [BasicBlock(outputs, outputs, 1, norm) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(inputs, outputs, stride, norm), *rest)


def resnet18(pretrained: bool = False, norm_layer: Norm | None = None) -> ResNet:
    """As torchvision's, with random weights."""
    return _build((2, 2, 2, 2), pretrained, norm_layer)


def resnet34(pretrained: bool = False, norm_layer: Norm | None = None) -> ResNet:
    """As torchvision's, with random weights."""
    return _build((3, 4, 6, 3), pretrained, norm_layer)


def _build(blocks: tuple[int, int, int, int], pretrained: bool, norm: Norm | None) -> ResNet:
    if pretrained:
        raise ValueError("pretrained weights come with torchvision, not with this")
    return ResNet(blocks, norm or nn.BatchNorm2d)
