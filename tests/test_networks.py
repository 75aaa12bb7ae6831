"""The function approximators are those of the released code, not of the ports."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from planet_torch.networks import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    GRUCell,
    Linear,
    SplitLinear,
    decoder_kernels,
    encoder_stages,
)


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_of_the_reference(cell, x, h, reset_before=True):
    """r, u = s(W_ru [x; h] + b); c = tanh(W_c [x; r h]); h' = (1 - u) c + u h."""
    w, b = cell.gates.weight.numpy(), cell.gates.bias.numpy()
    w_c, b_c = cell.candidate.weight.numpy(), cell.candidate.bias.numpy()
    r, u = np.split(sigmoid(np.concatenate([x, h]) @ w.T + b), 2)
    if reset_before:
        candidate = np.tanh(np.concatenate([x, r * h]) @ w_c.T + b_c)
    else:
        w_x, w_h = w_c[:, : len(x)], w_c[:, len(x) :]
        candidate = np.tanh(w_x @ x + b_c + r * (w_h @ h))
    return (1 - u) * candidate + u * h


@torch.no_grad()
def test_gru_resets_before_the_product():
    torch.manual_seed(0)
    cell = GRUCell(3, 5)
    x, h = torch.randn(3), torch.randn(5)
    new = cell(x, h).numpy()
    args = (cell, x.numpy(), h.numpy())
    np.testing.assert_allclose(new, gru_of_the_reference(*args), atol=1e-6)
    port = gru_of_the_reference(*args, reset_before=False)
    assert np.abs(new - port).max() > 1e-3  # the numbers tell the two apart


@torch.no_grad()
def test_gru_by_hand():
    """Zero weights but the candidate's from h (1): 0.25 tanh(0.75) + 0.75 * 1."""
    cell = GRUCell(1, 1)
    for parameter in cell.parameters():
        parameter.zero_()
    cell.gates.bias.fill_(math.log(3))  # both gates are at 0.75
    cell.candidate.weight[0, 1] = 1
    expected = 0.25 * math.tanh(0.75) + 0.75
    assert_close(cell(torch.zeros(1), torch.ones(1)), torch.tensor([expected]))


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_gru_gates_start_at_one_and_nothing_else_has_a_bias(norm):
    cell = GRUCell(3, 4, norm)
    biases = {name: p for name, p in cell.named_parameters() if name.endswith("bias")}
    ones = {name for name, bias in biases.items() if bias.eq(1).all()}
    zeros = {name for name, bias in biases.items() if bias.eq(0).all()}
    assert ones == {"gates.bias" if norm == "none" else "gate_norm.bias"}
    assert ones | zeros == set(biases)


def test_gru_of_the_paper_has_one_bias_a_gate():
    assert size(GRUCell(200, 200)) == (400 * 400 + 400) + (400 * 200 + 200)


@pytest.mark.parametrize(
    ("layer", "limit"),
    [
        (lambda: GRUCell(200, 200).gates, 0.0866),  # one 400 x 400 matrix
        (lambda: GRUCell(200, 200).candidate, 0.1),
        (lambda: Linear(200, 30), 0.1615),
        (lambda: ConvEncoder((3, 64, 64)).layers[0], math.sqrt(6 / (35 * 16))),
        (lambda: ConvDecoder(230, (3, 64, 64)).layers[0], math.sqrt(6 / (1152 * 25))),
    ],
)
def test_weights_start_glorot_uniform_and_biases_zero(layer, limit):
    torch.manual_seed(0)
    layer = layer()
    weight = layer.weight.detach()
    assert weight.abs().max() <= limit * 1.001
    assert weight.abs().max() > 0.98 * limit
    assert_close(weight.std(), torch.tensor(limit / 3**0.5), rtol=0.05, atol=0)
    if not isinstance(layer, SplitLinear):  # the gates' is tested above
        assert layer.bias.eq(0).all()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
def test_the_parts_of_a_split_layer_sum_to_the_whole(inputs, outputs):
    layer = SplitLinear(inputs, outputs)
    nn.init.normal_(layer.bias)
    xs = [torch.randn(2, 3, n) for n in inputs]
    parts = [layer.part(i, x) for i, x in enumerate(xs)]
    assert_close(sum(parts), layer(*xs))
    assert_close(layer(*xs), nn.Linear.forward(layer, torch.cat(xs, dim=-1)))


def test_parameter_counts_of_the_paper():
    assert size(ConvEncoder((3, 64, 64))) == 690_144
    assert size(ConvDecoder(230, (3, 64, 64))) == 3_795_555
    assert size(MLP(230, 1, layers=3, units=300)) == 250_201


def test_layers_of_the_paper():
    encoder, decoder = ConvEncoder((3, 64, 64)), ConvDecoder(230, (3, 64, 64))
    assert encoder.embedding_size == 1024
    kinds = [type(layer).__name__ for layer in decoder.layers]
    assert kinds == ["TransposedConvolution", "Sequential"] * 3 + [
        "TransposedConvolution"
    ]
    down = [m for m in encoder.layers if isinstance(m, nn.Conv2d)]
    up = [m for m in decoder.layers if isinstance(m, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in down] == [32, 64, 128, 256]
    assert [layer.kernel_size for layer in down] == [(4, 4)] * 4
    assert [layer.out_channels for layer in up] == [128, 64, 32, 3]
    assert [layer.kernel_size for layer in up] == [(5, 5), (5, 5), (6, 6), (6, 6)]
    assert {layer.stride for layer in down + up} == {(2, 2)}


def test_the_encoder_ends_in_its_activation_and_the_decoder_does_not():
    encoder, decoder = ConvEncoder((3, 16, 16)), ConvDecoder(8, (3, 16, 16))
    nn.init.constant_(decoder.layers[-1].bias, -3.0)
    embedding = encoder(torch.randn(20, 3, 16, 16))
    assert embedding.min() == 0  # rectified
    assert decoder(torch.randn(5, 8)).max() < 0  # not squashed
    # and between the dense layer and the first deconvolution there is nothing:
    nn.init.constant_(decoder.dense.bias, -1.0)
    zero = torch.zeros(1, 8)
    before = decoder.dense(zero).reshape(1, -1, 1, 1)
    assert before.lt(0).all()
    assert_close(decoder(zero), decoder.layers(before))


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(
    "shape",
    [(3, 64, 64), (3, 32, 32), (1, 16, 16), (3, 84, 84), (3, 20, 37), (2, 64, 4)],
)
def test_images_of_any_shape_go_in_and_come_out(shape, norm):
    encoder = ConvEncoder(shape, width=2, norm=norm)
    decoder = ConvDecoder(7, shape, width=2, norm=norm)
    embedding = encoder(torch.randn(2, 3, *shape))
    assert embedding.shape == (2, 3, encoder.embedding_size)
    assert decoder(torch.randn(2, 3, 7)).shape == (2, 3, *shape)


@given(st.integers(1, 200))
def test_decoder_kernels_grow_one_pixel_to_any_size(target):
    grown = 1
    for kernel in decoder_kernels(target):
        grown = (grown - 1) * 2 + kernel
    assert grown == target


@given(st.integers(4, 200))
def test_encoder_stages_leave_less_than_a_kernel(pixels):
    for _ in range(encoder_stages(pixels)):
        assert pixels >= 4
        pixels = (pixels - 4) // 2 + 1
    assert pixels < 4


def test_images_too_small_for_one_convolution_are_refused():
    with pytest.raises(ValueError, match=r"3 x 64.*at least 4"):
        ConvEncoder((3, 3, 64))


def test_leading_axes_are_a_batch():
    torch.manual_seed(0)
    encoder, decoder = ConvEncoder((3, 16, 16), width=2), ConvDecoder(4, (3, 16, 16))
    images, features = torch.randn(2, 3, 3, 16, 16), torch.randn(2, 3, 4)
    assert_close(encoder(images)[1, 2], encoder(images[1, 2]))
    assert_close(decoder(features)[1, 2], decoder(features[1, 2]))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_mlp_has_as_many_hidden_layers_as_asked(layers):
    mlp = MLP(4, 2, layers=layers, units=5)
    widths = [(m.in_features, m.out_features) for m in mlp if isinstance(m, Linear)]
    expected = [4, *[5] * layers, 2]
    assert widths == list(pairwise(expected))
    assert isinstance(mlp[-1], Linear)


def test_channel_norm_normalises_each_pixel():
    encoder = ConvEncoder((3, 16, 16), width=8, norm="layer")
    normed = encoder.layers[1][0](torch.randn(2, 8, 7, 7) * 5 + 3)
    assert_close(normed.mean(1), torch.zeros(2, 7, 7), atol=1e-5, rtol=0)
    assert_close(normed.var(1, correction=0), torch.ones(2, 7, 7), atol=1e-3, rtol=0)
