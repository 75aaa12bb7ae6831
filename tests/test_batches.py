"""Where the chunks of updates come from, and in which states they begin."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_torch.batches import Apart, Successive
from planet_torch.chunk import Chunk
from planet_torch.dynamics import State
from planet_torch.objectives import filtered
from test_replay import fill, make_episode
from toy_models import small_chunk, small_model, stream

BATCH, LENGTH = 3, 4


def zeros(batch):
    return State(*torch.zeros(4, batch, 2))


def successive(replay, batch=BATCH):
    return Successive(replay, batch, LENGTH, zeros)


def states_of(chunk):
    """States that can be told apart: the number of the episode and the row, from 1."""
    belief = chunk.observation + 1
    return State(belief, belief, belief, belief)


def walk(batches, generator, draws):
    """The chunks and the states before them; each is told what it ended in."""
    drawn = []
    for _ in range(draws):
        chunk, states = batches.draw(generator)
        batches.ended(states_of(chunk))
        drawn.append((chunk, states))
    return drawn


@given(st.lists(st.integers(4, 30), min_size=1, max_size=5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_a_chunk_goes_on_where_the_one_before_it_ended_or_begins_anew(
    tmp_path_factory, rows, seed
):
    replay = fill(tmp_path_factory.mktemp("replay"), rows)
    drawn = walk(successive(replay), stream(seed), 12)
    assert not drawn[0][1].belief.any()
    for (before, _), (chunk, states) in pairwise(drawn):
        number, t = chunk.observation.unbind(-1)
        assert torch.equal(number, number[:, :1].expand_as(number))
        assert torch.equal(t, t[:, :1] + torch.arange(LENGTH))
        for b in range(BATCH):
            last = before.observation[b, -1]
            left = rows[int(last[0])] - int(last[1]) - 1
            if left >= LENGTH:
                assert (number[b, 0], t[b, 0]) == (last[0], last[1] + 1)
                assert torch.equal(states.belief[b], last + 1)
            else:
                assert t[b, 0] < LENGTH
                assert not torch.cat([part[b] for part in states.parts]).any()


def test_walks_begin_at_the_reset_as_often_as_later_and_reach_every_row(tmp_path):
    replay = fill(tmp_path, (18, 18))
    drawn = walk(successive(replay, 8), stream(), 400)
    first = torch.cat([c.observation[:, 0, 1] for c, _ in drawn[1:]])
    fresh = torch.cat([~s.belief.any(dim=1) for _, s in drawn[1:]])
    begun = first[fresh]
    at_reset = (begun == 0).float().mean()
    # Half, and a quarter of the others: 0.625 of about 750 walks, four deviations.
    assert abs(at_reset - 0.625) < 0.07
    assert set(begun.tolist()) == {0, 1, 2, 3}
    seen = torch.cat([c.observation[..., 1].flatten() for c, _ in drawn])
    assert set(seen.tolist()) == set(range(18))


def test_the_first_chunks_are_from_anywhere(tmp_path):
    """Otherwise all would stay at the same time of episodes that are equally long."""
    replay = fill(tmp_path, (40,) * 5)
    chunk, states = successive(replay, 200).draw(stream())
    assert not states.belief.any()
    assert len(set(chunk.observation[:, 0, 1].tolist())) > 30


def test_successive_chunks_are_filtered_like_one_long_chunk(tmp_path):
    """But for the noise, of which the one does not know what the other drew."""
    model, whole = small_model(), small_chunk(batch=3, length=8)
    noise = torch.zeros(2, 3, 8, 3)
    model.noise = lambda *batch, generator: noise[:, :, : batch[-1]]
    model.prepare = lambda observation, generator: observation.float().movedim(-1, -3)
    posteriors = filtered(model, whole, stream()).posteriors
    halves = [
        Chunk(*(part[:, rows] for part in vars(whole).values()))
        for rows in (slice(4), slice(4, 8))
    ]
    first = filtered(model, halves[0], stream()).posteriors
    batches = Successive(fill(tmp_path, (8,)), 3, 4, model.dynamics.initial)
    batches.ended(first)
    second = filtered(model, halves[1], stream(), batches.states).posteriors
    for part, ahead, behind in zip(
        posteriors.parts, first.parts, second.parts, strict=True
    ):
        torch.testing.assert_close(part, torch.cat([ahead, behind], dim=1))
    assert not any(part.requires_grad for part in batches.states.parts)


def test_what_a_task_ended_is_followed_to_its_end(tmp_path):
    """Six rows are a chunk, and two rows with two that repeat the last."""
    replay = fill(tmp_path, (6,), terminated=True)
    batches = successive(replay, 1)
    times = [c.observation[0, :, 1].tolist() for c, _ in walk(batches, stream(), 60)]
    after_the_first = {tuple(t) for s, t in pairwise(times) if s[0] == 0}
    assert after_the_first == {(4, 5, 5, 5)}


def test_an_episode_that_is_forgotten_is_left(tmp_path):
    replay = fill(tmp_path, (40,))
    batches = successive(replay, 5)
    walk(batches, stream(), 1)
    replay.max_frames = 40
    replay.add(make_episode(40, number=1))
    chunk, states = batches.draw(stream(1))
    assert set(chunk.observation[..., 0].flatten().tolist()) == {1}
    assert not states.belief.any()


def test_states_of_an_update_that_failed_are_not_gone_on_from(tmp_path):
    batches = successive(fill(tmp_path, (40,)))
    walk(batches, stream(), 2)
    batches.draw(stream())  # nothing is told of what it ended in
    assert not batches.draw(stream())[1].belief.any()


def test_draws_go_on_from_what_was_saved(tmp_path):
    replay = fill(tmp_path, (18, 25, 31))
    cut, whole = (successive(replay) for _ in range(2))
    generators = [stream(), stream()]
    for batches, generator in zip((cut, whole), generators, strict=True):
        walk(batches, generator, 7)
    resumed = successive(replay)
    resumed.load_state_dict(cut.state_dict())
    for (chunk, states), (same, known) in zip(
        walk(resumed, generators[0], 20), walk(whole, generators[1], 20), strict=True
    ):
        assert torch.equal(chunk.observation, same.observation)
        assert torch.equal(states.belief, known.belief)


@pytest.mark.parametrize("content", [{}, {"places": [[0, 4]], "states": []}])
def test_a_run_that_had_other_batches_begins_anew(tmp_path, content):
    replay = fill(tmp_path, (18, 25))
    batches = successive(replay)
    batches.load_state_dict(content)
    chunk, states = batches.draw(stream())
    assert len(chunk.observation) == BATCH
    assert not states.belief.any()


def test_chunks_apart_begin_in_the_zero_state(tmp_path):
    batches = Apart(fill(tmp_path, (30,)), [(4, 8), (8, 4)])
    drawn = walk(batches, stream(), 30)
    assert {tuple(c.reward.shape) for c, _ in drawn} == {(4, 8), (8, 4)}
    assert all(states is None for _, states in drawn)
    assert batches.state_dict() == {}
