"""The function approximators: linear and convolutional layers, MLP, GRU cell.

Everything starts as in TensorFlow 1: Glorot-uniform kernels and zero biases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal, TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from planet_torch.convolutions import (
    Convolution,
    TransposedConvolution,
    output_pixels,
)

Activation = Literal["relu", "elu", "silu"]
Norm = Literal["none", "layer"]


class Style(TypedDict):
    """How the hidden layers of every network of a model look."""

    activation: Activation
    norm: Norm


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}


def glorot(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Initialise a layer in place: Glorot-uniform weights, zero bias."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Linear(nn.Linear):
    """A linear layer that starts as TensorFlow's does."""

    def reset_parameters(self) -> None:
        """Glorot-uniform weights, zero bias."""
        glorot(self)


class SplitLinear(Linear):
    """One linear map of several inputs side by side, each of which can go alone.

    ``forward(x, y)`` is the map of their concatenation. ``part(i, x)`` is the share of
    input i (the first one carries the bias), so that a time loop need not repeat the
    shares that are known before it starts.
    """

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        super().__init__(sum(inputs), outputs)
        self.inputs = tuple(inputs)

    def part(self, index: int, x: Float[Tensor, "*batch n"]) -> Tensor:
        """The share of one input in the sum."""
        start = sum(self.inputs[:index])
        weight = self.weight[:, start : start + self.inputs[index]]
        return F.linear(x, weight, self.bias if index == 0 else None)

    def forward(self, *inputs: Tensor) -> Tensor:  # noqa: D102
        return F.linear(torch.cat(inputs, dim=-1), self.weight, self.bias)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of each pixel over its channels."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(x.movedim(-3, -1)).movedim(-1, -3)


def after_linear(units: int, activation: Activation, norm: Norm) -> nn.Sequential:
    """What follows a hidden linear layer: normalisation if wanted, then activation."""
    layers = [nn.LayerNorm(units)] if norm == "layer" else []
    return nn.Sequential(*layers, ACTIVATIONS[activation]())


def after_convolution(units: int, activation: Activation, norm: Norm) -> nn.Sequential:
    """What follows a hidden convolution: normalisation if wanted, then activation."""
    layers = [ChannelNorm(units)] if norm == "layer" else []
    return nn.Sequential(*layers, ACTIVATIONS[activation]())


class MLP(nn.Sequential):
    """Hidden layers of equal width, then a linear output."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: int,
        units: int,
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        parts: list[nn.Module] = []
        for width in [inputs, *[units] * (layers - 1)][:layers]:
            parts += [Linear(width, units), after_linear(units, activation, norm)]
        parts.append(Linear(units if layers else inputs, outputs))
        super().__init__(*parts)


class GRUCell(nn.Module):
    """The gated recurrent unit of ``tf.contrib.rnn.GRUBlockCell`` (as reference).

    ``torch.nn.GRUCell`` is another function: it applies the reset gate after the
    product with the recurrent weights and has two biases for each gate. Here the gate
    multiplies the old state before it, and starts open (bias 1).
    """

    def __init__(self, inputs: int, units: int, norm: Norm = "none") -> None:
        super().__init__()
        self.gates = SplitLinear((inputs, units), 2 * units)
        self.candidate = SplitLinear((inputs, units), units)
        self.gate_norm = nn.LayerNorm(2 * units) if norm == "layer" else nn.Identity()
        self.candidate_norm = nn.LayerNorm(units) if norm == "layer" else nn.Identity()
        last = self.gate_norm if norm == "layer" else self.gates
        assert isinstance(last.bias, Tensor)
        nn.init.ones_(last.bias)

    def forward(
        self, x: Float[Tensor, "*batch X"], h: Float[Tensor, "*batch D"]
    ) -> Float[Tensor, "*batch D"]:
        """The next belief from input ``x`` and belief ``h``."""
        gates = torch.sigmoid(self.gate_norm(self.gates(x, h)))
        reset, update = gates.chunk(2, dim=-1)
        candidate = torch.tanh(self.candidate_norm(self.candidate(x, reset * h)))
        # As reference: the update gate keeps the old state.
        return torch.lerp(candidate.to(h.dtype), h, update.to(h.dtype))


def encoder_stages(size: int) -> int:
    """How many convolutions of kernel 4 and stride 2 fit an image ``size`` wide."""
    stages = 0
    while size >= 4:
        size, stages = output_pixels(size, 4), stages + 1
    return stages


def decoder_kernels(size: int) -> list[int]:
    """Kernels of the stride-2 transposed convolutions that grow 1 pixel to ``size``.

    For 64 pixels these are the paper's 5, 5, 6, 6.
    """
    kernels = []
    while size > 6:
        kernels.append(6 if size % 2 == 0 else 5)
        size = output_pixels(size, kernels[-1])
    return [size, *reversed(kernels)]


class ConvEncoder(nn.Module):
    """Images to embeddings by convolutions of kernel 4, stride 2, no padding.

    At 64 pixels and width 32 this is the network of Ha and Schmidhuber (2018) that
    PlaNet uses: 32, 64, 128 and 256 channels, an embedding of 1,024.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 32,
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        channels, *size = shape
        if min(size) < 4:
            raise ValueError(
                f"images of {size[0]} x {size[1]} pixels are too small for a "
                "convolution; at least 4 x 4 are needed"
            )
        stages = encoder_stages(min(size))
        widths = [width * 2**i for i in range(stages)]
        layers: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            layers += [
                Convolution(before, after, kernel=4),
                after_convolution(after, activation, norm),
            ]
            size = [output_pixels(pixels, 4) for pixels in size]
        self.layers = channels_last(layers)
        self.embedding_size = widths[-1] * math.prod(size)
        initialise(self)

    def forward(
        self, image: Float[Tensor, "*batch channels height width"]
    ) -> Float[Tensor, "*batch E"]:
        """Embed each image."""
        flat = image.reshape(-1, *image.shape[-3:])
        embedding = self.layers(flat.contiguous(memory_format=torch.channels_last))
        return embedding.reshape(*image.shape[:-3], -1)


class ConvDecoder(nn.Module):
    """Features to the mean of an image: a linear layer, then transposed convolutions.

    At 64 pixels and width 32 the channels are 1024, 128, 64, 32, 3 (as reference).
    """

    def __init__(
        self,
        features: int,
        shape: tuple[int, int, int],
        *,
        width: int = 32,
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        channels, *size = shape
        high, wide = (reversed(decoder_kernels(pixels)) for pixels in size)
        # A kernel of 1 leaves one pixel as it is: the shorter side waits for the other.
        kernels = [*zip_longest(high, wide, fillvalue=1)][::-1]
        hidden = [width * 2**i for i in reversed(range(len(kernels) - 1))]
        dense = width * 2 ** (len(kernels) + 1)
        self.dense = Linear(features, dense)
        layers: list[nn.Module] = []
        widths = [dense, *hidden, channels]
        for kernel, before, after in zip(kernels, widths, widths[1:], strict=False):
            layers.append(TransposedConvolution(before, after, kernel))
            layers.append(after_convolution(after, activation, norm))
        # The last layer is linear: the mean of a Gaussian, not squashed.
        self.layers = channels_last(layers[:-1])
        initialise(self)

    def forward(
        self, features: Float[Tensor, "*batch F"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """The mean image of each feature vector, in about [-0.5, 0.5]."""
        dense = self.dense(features).reshape(-1, self.dense.out_features, 1, 1)
        image = self.layers(dense.contiguous(memory_format=torch.channels_last))
        return image.reshape(*features.shape[:-1], *image.shape[1:])


def channels_last(layers: Sequence[nn.Module]) -> nn.Sequential:
    """The layers one after another, their weights in the order convolutions like."""
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def initialise(module: nn.Module) -> None:
    """Start every convolution below ``module`` as TensorFlow's does."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            glorot(layer)
