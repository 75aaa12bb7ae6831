"""Convolutions of stride 2 and their transposes, in the forms that are fastest.

What they compute is what PyTorch's compute, to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

FEW = 16  # channels, below which a transposed convolution is slow forward
SMALL = 4  # output pixels, up to which a convolution is slow backward


def output_pixels(pixels: int, kernel: int) -> int:
    """How wide a convolution of stride 2 leaves an image of so many pixels."""
    return (pixels - kernel) // 2 + 1


class Convolution(nn.Conv2d):
    """A convolution of stride 2 without padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        kernel = self.kernel_size[0]
        high, wide = (output_pixels(pixels, kernel) for pixels in x.shape[2:])
        # Of a GPU it was not measured which way is the faster one.
        if x.is_cpu and high * wide <= SMALL and kernel % 2 == 0:
            assert self.bias is not None
            parts = cast_by_autocast(x, self.weight, self.bias)
            return BackwardByProducts.apply(*parts)  # type: ignore[no-untyped-call]
        return super().forward(x)


class BackwardByProducts(torch.autograd.Function):
    """A convolution of stride 2, its kernel even, whose gradients are matrix products.

    A row of one of the matrices is the window that an output pixel sees. With many
    pixels to write the windows takes longer than it spares.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, stride=2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        x, weight = ctx.saved_tensors
        outputs, _, kernel, _ = weight.shape
        seen = windows(x, kernel)
        rows = gradient.movedim(1, -1).reshape(-1, outputs)
        of_weight = (rows.T @ seen.flatten(0, 2).flatten(1)).view(-1, *seen.shape[3:])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_seen = rows @ weight.movedim(1, -1).reshape(outputs, -1)
            of_x = spread(of_seen.view(seen.shape), x.shape)
        return of_x, of_weight.movedim(-1, 1), rows.sum(0)


def windows(
    x: Float[Tensor, "batch channels height width"], kernel: int
) -> Float[Tensor, "batch high wide kernel kernel channels"]:
    """What each output pixel of a convolution of stride 2 sees."""
    seen = x.unfold(2, kernel, 2).unfold(3, kernel, 2)
    return seen.movedim(1, -1).contiguous()


def spread(
    seen: Float[Tensor, "batch high wide kernel kernel channels"], shape: torch.Size
) -> Float[Tensor, "batch channels height width"]:
    """An image of this shape, in each pixel the sum of what windows have there."""
    batch, channels, height, width = shape
    image = seen.new_zeros(batch, height, width, channels)
    high, wide, kernel = seen.shape[1:4]
    for row in range(0, kernel, 2):  # squares of four pixels do not overlap
        for column in range(0, kernel, 2):
            part = image[:, row : row + 2 * high, column : column + 2 * wide]
            squares = part.view(batch, high, 2, wide, 2, channels)
            squares += seen[:, :, :, row : row + 2, column : column + 2].transpose(2, 3)
    return image.movedim(-1, 1)


class TransposedConvolution(nn.ConvTranspose2d):
    """A transposed convolution of stride 2, computed by what is faster and the same."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__(inputs, outputs, kernel, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: D102
        assert self.bias is not None
        outputs, high, wide = self.weight.shape[1:]
        if x.shape[2:] == (1, 1):
            # One pixel is a linear map, the kernel times the pixel's channels.
            kernel = self.weight.permute(0, 2, 3, 1).reshape(len(self.weight), -1)
            image = (x.flatten(1) @ kernel).view(len(x), high, wide, -1).movedim(-1, 1)
        elif outputs < FEW and high % 2 == wide % 2 == 0:
            parts = cast_by_autocast(x, self.weight, self.bias)
            return FourKinds.apply(*parts)  # type: ignore[no-untyped-call]
        else:
            image = F.conv_transpose2d(x, self.weight, stride=2)
        # With a bias PyTorch takes another way, slower above all in bfloat16.
        return image + self.bias.to(image.dtype)[:, None, None]


def cast_by_autocast(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """As autocast casts what a convolution takes; as it is where that is off."""
    device = x.device.type
    if torch.is_autocast_enabled(device):  # a GPU's normalisation gives float32
        x = x.to(torch.get_autocast_dtype(device))
    return x, *(parameter.to(x.dtype) for parameter in parameters)


class FourKinds(torch.autograd.Function):
    """A transposed convolution of stride 2 by an even kernel to few channels.

    An output pixel in an even row and column sees a quarter of the kernel, and so do
    those of the three other kinds. One plain convolution computes all four kinds, which
    then are interleaved: faster than the direct way forward, but slower backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: D102
        ctx.save_for_backward(x, weight)
        high, wide = weight.shape[2:]
        padding = (high // 2 - 1, wide // 2 - 1)
        kinds = F.conv2d(x, quarters(weight), bias.repeat(4), padding=padding)
        kinds = kinds.movedim(1, -1)
        kinds = kinds.reshape(*kinds.shape[:3], 2, 2, -1)
        return kinds.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            *(gradient, x, weight, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1),
            [*ctx.needs_input_grad[:2], False],
        )
        return of_x, of_weight, gradient.sum((0, 2, 3))


def quarters(
    weight: Float[Tensor, "inputs outputs high wide"],
) -> Float[Tensor, "channels inputs rows columns"]:
    """The quarters of a kernel, one kind of output pixel after another."""
    *channels, high, wide = weight.shape
    split = weight.reshape(*channels, high // 2, 2, wide // 2, 2)
    kernel = split.flip(2, 4).permute(3, 5, 1, 0, 2, 4).flatten(0, 2)
    return kernel.contiguous(memory_format=torch.channels_last)
