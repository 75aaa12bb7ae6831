"""Images are quantised as the released code does, and episodes count their rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from planet_torch.chunk import (
    Chunk,
    Episode,
    dequantise,
    mixed_lengths,
    quantise,
)
from toy_models import stream

BITS = range(1, 9)
EVERY_VALUE = torch.arange(256, dtype=torch.uint8).reshape(2, 128, 1)


def test_values_of_five_bits_by_hand():
    """200 is level 25 of 32: from 25/32 - 0.5 = 0.28125 up to 26/32 - 0.5 = 0.3125."""
    image = torch.tensor([0, 7, 8, 200, 255], dtype=torch.uint8).reshape(5, 1, 1)
    draws = torch.stack([dequantise(image, 5, stream(i)).flatten() for i in range(200)])
    lowest = torch.tensor([-0.5, -0.5, -0.46875, 0.28125, 0.46875])
    assert (draws >= lowest).all()
    assert (draws < lowest + 1 / 32).all()
    # Every value of the step is reached, not only its lower end.
    assert_close(draws.amin(0), lowest, atol=0.002, rtol=0)
    assert_close(draws.amax(0), lowest + 1 / 32, atol=0.002, rtol=0)


@pytest.mark.parametrize("bits", BITS)
def test_every_value_comes_back_as_the_lowest_of_its_level(bits):
    seen = quantise(dequantise(EVERY_VALUE, bits, stream()), bits)
    step = 256 >> bits
    assert torch.equal(seen, EVERY_VALUE // step * step)


@pytest.mark.parametrize("bits", BITS)
def test_noise_is_uniform_over_one_level_and_unrelated_to_the_value(bits):
    image = torch.arange(256, dtype=torch.uint8).repeat(400, 1)[..., None]
    value = dequantise(image, bits, stream(bits))[0]
    levels = 2**bits
    noise = (value + 0.5) * levels - torch.floor((value + 0.5) * levels)
    assert (noise > 0).all()  # strictly inside, and symmetric about the middle:
    assert (noise < 1).all()
    moments = [noise.mean(), noise.var() * 12, noise.pow(4).mean() * 5]
    assert_close(torch.stack(moments), torch.tensor([0.5, 1, 1]), atol=0.02, rtol=0)
    quarters = torch.histc(noise, 4, 0, 1) / noise.numel()
    assert_close(quarters, torch.full((4,), 0.25), atol=0.01, rtol=0)
    neighbours = torch.corrcoef(torch.stack([noise[:, :-1], noise[:, 1:]]).flatten(1))
    assert neighbours[0, 1].abs() < 0.02


def test_each_read_draws_new_noise_and_a_seed_draws_the_same():
    one, generator = stream(3), stream(3)
    first, second = (dequantise(EVERY_VALUE, 5, generator) for _ in range(2))
    assert torch.equal(first, dequantise(EVERY_VALUE, 5, one))
    assert not torch.equal(first, second)


@given(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_channels_move_before_height_and_width(rows, height, width, channels):
    shape = (rows, height, width, channels)
    image = torch.randint(256, shape, dtype=torch.uint8, generator=stream())
    value = dequantise(image, 8, stream(1))
    assert value.shape == (rows, channels, height, width)
    assert value.dtype == torch.float32
    assert torch.equal(quantise(value, 8), image)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_impossible_numbers_of_bits_are_refused(bits):
    with pytest.raises(ValueError, match=rf"bits \(={bits}\).* from 1 to 8"):
        dequantise(EVERY_VALUE, bits, stream())


def test_values_outside_the_range_are_shown_as_its_ends():
    image = torch.tensor([-3.0, -0.51, 0.5, 7.0]).reshape(1, 1, 4)
    assert quantise(image, 5).flatten().tolist() == [0, 0, 248, 248]


def test_an_episode_counts_its_rows_and_its_score_is_the_sum():
    episode = Episode(
        observation=np.zeros((4, 2), np.float32),
        action=np.zeros((4, 1), np.float32),
        reward=np.array([0, 1, 2, 4], np.float32),
    )
    assert len(episode) == 4
    assert episode.score == 7.0


def test_a_chunk_moves_with_all_its_parts():
    chunk = Chunk(
        observation=torch.zeros(2, 3, 4, 4, 1, dtype=torch.uint8),
        action=torch.ones(2, 3, 1),
        reward=torch.full((2, 3), 2.0),
    ).to("meta")
    parts = (chunk.observation, chunk.action, chunk.reward)
    assert [part.device.type for part in parts] == ["meta"] * 3
    assert chunk.observation.dtype == torch.uint8


def test_halves_of_halves_have_as_many_rows():
    """20 rows in 16 chunks are 10 in 32 and 5 in 64; 2 would be shorter than 4."""
    assert mixed_lengths(16, 20, 4) == [(16, 20), (32, 10), (64, 5)]
    assert mixed_lengths(16, 20, 20) == [(16, 20)]


@given(
    batch=st.integers(1, 64), longest=st.integers(1, 64), shortest=st.integers(1, 64)
)
def test_mixed_lengths_are_no_shorter_than_asked_for(batch, longest, shortest):
    shapes = mixed_lengths(batch, longest, shortest)
    assert shapes[0] == (batch, longest)
    assert all(length >= min(shortest, longest) for _, length in shapes)
    rows = batch * longest
    assert all(rows - length < count * length <= rows for count, length in shapes)
