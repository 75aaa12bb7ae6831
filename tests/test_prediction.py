"""A toy world, whose grey grows by the action, shows what a prediction may know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from planet_torch.build_model import DYNAMICS
from planet_torch.chunk import Chunk
from planet_torch.prediction import predict
from planet_torch.world_model import WorldModel
from toy_models import Counting, small_chunk, small_model

CONTEXT = 3


class Canvas(nn.Module):
    """An image all of one grey."""

    def forward(self, features):
        return features[..., None, None].expand(*features.shape[:-1], 3, 16, 16)


class Mean(nn.Module):
    """The mean grey of an image."""

    def forward(self, image):
        return image.mean((-3, -2, -1))[..., None]


@pytest.fixture
def world_model():
    return WorldModel(Mean(), Counting(), Canvas(), nn.Identity())


def make_chunk(greys, steps):
    """Images of the greys, and actions that promise so many more from row to row."""
    grey = torch.tensor(greys, dtype=torch.uint8)[..., None, None, None]
    action = torch.tensor(steps, dtype=torch.float32)[..., None] / 256
    reward = torch.zeros(action.shape[:2])
    return Chunk(grey.expand(*grey.shape[:2], 16, 16, 3).contiguous(), action, reward)


def foresee(world_model, chunk, context=CONTEXT):
    return predict(world_model, chunk, context, torch.Generator().manual_seed(0))


GREYS = [[100, 20, 60, 68, 84, 148], [4, 4, 4, 4, 4, 4]]
STEPS = [[0, 5, 5, 8, 16, 32], [0, 9, 9, 0, 64, 0]]


def test_it_reconstructs_what_it_sees_and_then_adds_up_the_actions(world_model):
    """60 + 8 + 16 + 32 are the greys of row 0 but the last; row 1 hoped for 64 more."""
    prediction = foresee(world_model, make_chunk(GREYS, STEPS))
    first, second = prediction.prediction[:, :, 3, 5, 1].astype(int)
    assert first == pytest.approx([100, 20, 60, 68, 84, 116], abs=1)
    assert second == pytest.approx([4, 4, 4, 4, 68, 68], abs=1)
    seen = prediction.reconstruction[:, :, 3, 5, 1].astype(int)
    assert seen == pytest.approx(np.array(GREYS), abs=1)
    assert prediction.real[:, :, 3, 5, 1].tolist() == GREYS
    rewards = prediction.predicted_reward  # of this model, the grey in [-0.5, 0.5]
    assert 256 * (rewards[0] + 0.5) == pytest.approx(first, abs=1)


def test_what_comes_after_the_context_is_not_looked_at(world_model):
    chunk = make_chunk(GREYS, STEPS)
    later = chunk.observation.clone()
    later[:, CONTEXT:] = 255
    blind = foresee(world_model, replace(chunk, observation=later)).prediction
    assert (blind == foresee(world_model, chunk).prediction).all()


def test_the_error_is_in_grey_levels_and_starts_one_frame_past_the_context(world_model):
    prediction = foresee(world_model, make_chunk(GREYS[:1], STEPS[:1]))
    assert prediction.error_per_distance == pytest.approx([0, 0, 32], abs=1)
    assert prediction.standstill_per_distance == pytest.approx([8, 24, 88])
    assert prediction.error[0, -1].mean() == pytest.approx(32, abs=1)


def test_real_frames_have_the_bits_that_the_model_reads(world_model):
    chunk = make_chunk([[0, 7, 8, 255]], [[0, 0, 0, 0]])
    assert foresee(world_model, chunk, 1).real[0, :, 0, 0, 0].tolist() == [
        4,
        4,
        12,
        252,
    ]
    world_model.image_bits = 8
    assert foresee(world_model, chunk, 1).real[0, :, 0, 0, 0].tolist() == [0, 7, 8, 255]


@pytest.mark.parametrize("kind", DYNAMICS)
def test_every_model_foresees_from_what_it_saw_and_the_actions_alone(kind):
    model, chunk = small_model(DYNAMICS[kind]), small_chunk(batch=2, length=6)
    ahead, acted = chunk.observation.clone(), chunk.action.clone()
    ahead[:, CONTEXT:] = 0
    acted[:, CONTEXT + 1] = -acted[:, CONTEXT + 1]
    first = foresee(model, chunk)
    assert len(first.error_per_distance) == 6 - CONTEXT
    assert np.isfinite(first.error_per_distance).all()
    blind = foresee(model, replace(chunk, observation=ahead))
    np.testing.assert_array_equal(blind.predicted_reward, first.predicted_reward)
    moved = foresee(model, replace(chunk, action=acted)).predicted_reward
    differs = (moved != first.predicted_reward).any(axis=0)
    assert differs.tolist() == [False] * (CONTEXT + 1) + [True] * 2


@pytest.mark.parametrize("context", [0, 6])
def test_there_must_be_something_to_see_and_something_to_foresee(world_model, context):
    with pytest.raises(ValueError, match=rf"context \(={context}\) must be in 1..5"):
        foresee(world_model, make_chunk(GREYS, STEPS), context)


def test_vectors_are_refused(world_model):
    chunk = replace(make_chunk(GREYS, STEPS), observation=torch.zeros(2, 6, 4))
    with pytest.raises(ValueError, match="images"):
        foresee(world_model, chunk)
