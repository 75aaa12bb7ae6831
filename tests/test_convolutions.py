"""Convolutions and their transposes are those of PyTorch, whichever way they go."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from planet_torch.convolutions import Convolution, TransposedConvolution


def gradients(image, weights, parts):
    """Of a sum of the pixels, each by its weight, to each part."""
    return torch.autograd.grad((image * weights).sum(), parts)


@pytest.mark.parametrize("kernel", [4, 2, 6, 3, 5])
@pytest.mark.parametrize("more", [(0, 0), (1, 2), (3, 3), (7, 0), (4, 3)])
def test_a_convolution_is_that_of_torch(kernel, more):
    torch.manual_seed(0)
    layer = Convolution(3, 5, kernel).double().to(memory_format=torch.channels_last)
    nn.init.normal_(layer.bias)
    size = [kernel + pixels for pixels in more]  # up to four output pixels, and six
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    for images in (x, x.to(memory_format=torch.channels_last)):
        plain = F.conv2d(images, layer.weight, layer.bias, stride=2)
        assert_close(layer(images), plain)
        weights, parts = torch.randn_like(plain), [x, *layer.parameters()]
        expected = gradients(plain, weights, parts)
        assert_close(gradients(layer(images), weights, parts), expected)


def test_a_convolution_of_images_that_want_no_gradient():
    """As the first layer of an encoder, whose images are data."""
    layer, x = Convolution(3, 2, 4), torch.randn(2, 3, 6, 6)
    plain = F.conv2d(x, layer.weight, layer.bias, stride=2)
    weights, parts = torch.randn_like(plain), [*layer.parameters()]
    expected = gradients(plain, weights, parts)
    assert_close(gradients(layer(x), weights, parts), expected)


@pytest.mark.parametrize(("size", "products"), [(6, True), (7, True), (8, False)])
def test_gradients_are_products_where_few_pixels_come_out(size, products):
    images = torch.randn(2, 3, size, size)
    image = Convolution(3, 2, 4)(images)
    assert ("Products" in type(image.grad_fn).__name__) == products


def test_a_convolution_under_autocast():
    """Image and gradients are those of bfloat16, and those of the weights float32."""
    torch.manual_seed(0)
    layer, x = Convolution(8, 5, 4), torch.randn(20, 8, 6, 6, requires_grad=True)
    plain = F.conv2d(x, layer.weight, layer.bias, stride=2)
    weights, parts = torch.randn_like(plain), [x, *layer.parameters()]
    with torch.autocast("cpu", torch.bfloat16):
        image = layer(x)
    assert image.dtype == torch.bfloat16
    assert_close(image.float(), plain, atol=0.03, rtol=0.03)
    for gradient, expected in zip(
        gradients(image, weights, parts), gradients(plain, weights, parts), strict=True
    ):
        assert gradient.dtype == torch.float32
        assert (gradient - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("kernel", [(6, 6), (4, 2), (5, 5), (6, 5), (1, 4)])
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (1, 3), (4, 2)])
def test_a_transposed_convolution_is_that_of_torch(kernel, size):
    layer = TransposedConvolution(3, 2, kernel).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(4, 3, *size, dtype=torch.float64, requires_grad=True)
    parts = [x, *layer.parameters()]
    plain = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
    weights = torch.randn_like(plain)
    assert_close(layer(x), plain)
    expected = gradients(plain, weights, parts)
    assert_close(gradients(layer(x), weights, parts), expected)


@pytest.mark.parametrize("outputs", [3, 20])
def test_what_a_normalisation_left_in_float32_is_cast_back_by_a_layer(outputs):
    """On a GPU autocast normalises in float32, and a backward pass takes one dtype."""
    torch.manual_seed(0)
    layer = TransposedConvolution(4, outputs, (6, 6))
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        image = layer(x)
    assert image.dtype == torch.bfloat16
    assert_close(image.float(), exact, atol=0.03, rtol=0.03)
    (expected,) = torch.autograd.grad(exact.square().sum(), x)
    (gradient,) = torch.autograd.grad(image.float().square().sum(), x)
    assert (gradient - expected).norm() < 0.02 * expected.norm()
