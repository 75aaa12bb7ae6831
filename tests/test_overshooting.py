"""Predictions of several steps start where they should and count as they should."""

import pytest
import torch
from torch.testing import assert_close

from planet_torch.drnn import DRNN
from planet_torch.dynamics import State
from planet_torch.objectives import Divergence, Filtered, filtered, kl_divergence
from planet_torch.overshooting import (
    LatentOvershooting,
    ObservationOvershooting,
    imagine_ahead,
)
from planet_torch.recurrent import RNN, RSSM
from planet_torch.ssm import SSM
from toy_models import counting_model, gaussian, small_chunk, small_model, stream


def counted(observations, actions=None):
    """A chunk of the counting model, whose posteriors are the observations."""
    rows = torch.tensor(observations, dtype=torch.float32).reshape(1, -1, 1)
    q = gaussian(rows)
    action = torch.zeros_like(rows)
    if actions is not None:
        action = torch.tensor(actions, dtype=torch.float32).reshape(1, -1, 1)
    return Filtered(rows, action, torch.zeros(rows.shape[:2]), q, foreseen(q, action))


def foreseen(posteriors, action):
    """What the counting model's filter foresees: each state and the action after it."""
    before = torch.cat([torch.zeros(1, 1, 1), posteriors.sample[:, :-1]], dim=1)
    return gaussian(before + action)


def quiet(model):
    """The model with noise that is zero, and so without regard to how it is drawn."""
    model.noise = lambda *batch, generator: torch.zeros(
        *batch, model.dynamics.stochastic_size
    )
    return model


def imagined_one_by_one(model, chunk, distance, before=None):
    """The state imagined for row t from d rows before, for each pair by itself."""
    states = {}
    for t in range(chunk.action.shape[1]):
        for d in range(1, min(t + 1, distance) + 1):
            past = t - d
            start = chunk.posteriors[:, past] if past >= 0 else before
            start = start or model.dynamics.initial(len(chunk.action))
            actions = chunk.action[:, past + 1 : t + 1]
            noise = model.noise(*actions.shape[:2], generator=None)
            states[t, d] = model.dynamics.imagine(start, actions, noise)[:, -1]
    return states


def assert_states_close(actual, expected):
    for one, other in zip(actual.parts, expected.parts, strict=True):
        assert_close(one, other)


def test_distance_two_starts_two_rows_back():
    """Actions are powers of two: 206 can only be observation 200 plus 2 and 4."""
    chunk = counted([100, 200, 300, 400], [0, 1, 2, 4])
    states = imagine_ahead(counting_model(), chunk, 4, stream())
    assert [state.sample.flatten().tolist() for state in states] == [
        [0, 101, 202, 304],  # row 0 from the zero state
        [1, 103, 206],
        [3, 107],
        [7],  # row 3 from the zero state: nothing but the actions
    ]


def test_the_action_of_the_first_row_moves_the_zero_state():
    """A chunk from within an episode begins with a true action (as reference)."""
    chunk = counted([100, 200], [8, 1])
    states = imagine_ahead(counting_model(), chunk, 2, stream())
    assert [state.sample.flatten().tolist() for state in states] == [[8, 101], [9]]


@pytest.mark.parametrize("dynamics", [RSSM, SSM, RNN, DRNN])
@pytest.mark.parametrize("distance", [1, 3, 5])
@pytest.mark.parametrize("carried", [False, True])
def test_the_batched_roll_out_is_the_loop_over_rows_and_distances(
    dynamics, distance, carried
):
    """From the zero state, or from that in which the chunk before it ended."""
    model = quiet(small_model(dynamics))
    before = None
    if carried:
        before = filtered(model, small_chunk(3, 4), stream()).posteriors[:, -1]
    chunk = filtered(model, small_chunk(3, 5), stream(), before)
    expected = imagined_one_by_one(model, chunk, distance, before)
    states = list(imagine_ahead(model, chunk, distance, stream()))
    pairs = [(t, d) for d in range(1, distance + 1) for t in range(d - 1, 5)]
    assert sorted(pairs) == sorted(expected)
    for t, d in pairs:
        assert_states_close(states[d - 1][:, t - d + 1], expected[t, d])


@pytest.mark.parametrize("distance", [0, 5])
def test_distances_that_no_row_reaches_are_refused(distance):
    chunk = counted([1, 2, 3, 4])
    with pytest.raises(ValueError, match=rf"\(={distance}\).* in a chunk \(=4\)"):
        list(imagine_ahead(counting_model(), chunk, distance, stream()))


def test_noise_is_drawn_for_every_start_and_distance():
    model = small_model()
    chunk = filtered(model, small_chunk(1, 4), stream())
    same = chunk.posteriors.map(lambda part: part[:, :1].expand_as(part))
    chunk = Filtered(**{**vars(chunk), "posteriors": same})
    states = list(imagine_ahead(model, chunk, 3, stream()))
    draws = torch.cat([(s.sample - s.mean) / s.stddev for s in states], dim=1)
    assert draws.numel() == len(draws.unique()) == (4 + 3 + 2) * 3


# Latent overshooting.


def test_the_value_by_hand():
    """Observations 1 and 5 from 0: KLs 0.5 and 8 at d = 1, and 12.5 at d = 2.

    Above 3 free nats these are 0, 5 and 9.5; each distance is averaged over its rows:
    (1 * (0 + 5) / 2 + 2 * 9.5) / 2 with betas 1 and 2.
    """
    term = LatentOvershooting([1.0, 2.0], free_nats=3.0)
    loss, shown = term(counting_model(), counted([1, 5]), stream())
    assert loss.item() == pytest.approx((2.5 + 2 * 9.5) / 2)
    assert shown.item() == pytest.approx((4.25 + 12.5) / 2)  # without betas and nats


def test_betas_of_one_keep_the_scale_whatever_the_distance():
    """With 8 nats at every row and distance the term is 8, as the bound's is."""
    chunk, model = counted([4, 4, 4, 4]), counting_model()
    nothing = gaussian(torch.zeros(1, 4, 1))
    chunk = Filtered(**{**vars(chunk), "priors": nothing})
    model.dynamics.advance = lambda state, action: torch.zeros_like(state.sample)
    for distance in (1, 2, 4):
        term = LatentOvershooting([1.0] * distance, free_nats=0.0)
        assert term(model, chunk, stream())[0].item() == pytest.approx(8)


def naive(model, chunk, betas, free_nats):
    """Equation 7, pair by pair."""
    states = imagined_one_by_one(model, chunk, len(betas))
    length = chunk.action.shape[1]
    total = 0
    for (t, d), prior in states.items():
        q = chunk.posteriors[:, t]
        kl = kl_divergence(q if d == 1 else q.map(torch.detach), prior)
        share = betas[d - 1] / len(betas) / (length - d + 1)
        total = total + share * (kl - free_nats).clamp(min=0).mean()
    return total


def gradients(model, loss, **options):
    model.zero_grad()
    loss.backward(**options)
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("dynamics", [RSSM, SSM, RNN])
def test_value_and_gradient_are_those_of_the_loop_over_rows_and_distances(dynamics):
    model = quiet(small_model(dynamics))
    betas, free = [1.0, 0.5, 2.0, 0.25], 0.05
    chunk = filtered(model, small_chunk(3, 5), stream())
    expected = naive(model, chunk, betas, free)
    loss, _ = LatentOvershooting(betas, free)(model, chunk, stream())
    assert loss > 0
    assert_close(loss, expected)
    ours = gradients(model, loss, retain_graph=True)
    assert_close(ours, gradients(model, expected))


@pytest.mark.parametrize("balance", [None, 0.8])
@pytest.mark.parametrize("dynamics", [RSSM, SSM, RNN])
def test_one_distance_is_the_divergence_of_the_bound(dynamics, balance):
    model = small_model(dynamics)
    terms = [LatentOvershooting([1.0], 0.02, balance), Divergence(1.0, 0.02, balance)]
    results = []
    for term in terms:
        chunk = filtered(model, small_chunk(), stream())
        loss, shown = term(model, chunk, stream(1))
        results.append((loss, shown, gradients(model, loss)))
    assert results[0][0] > 0
    assert_close(results[0], results[1])


def leaves():
    """A chunk of three rows whose posteriors have gradients of their own."""
    moments = [torch.tensor([[[2.0], [7.0], [4.0]]]), torch.full((1, 3, 1), 0.5)]
    mean, stddev = (part.requires_grad_() for part in moments)
    sample = torch.tensor([[[2.5], [6.0], [4.5]]], requires_grad=True)
    q = State(mean, stddev, sample, torch.zeros(1, 3, 0))
    chunk = counted([0, 0, 0])
    parts = {"posteriors": q, "priors": foreseen(q, chunk.action)}
    return Filtered(**{**vars(chunk), **parts}), mean, stddev, sample


def test_targets_beyond_one_step_are_constants_and_starts_are_not():
    chunk, mean, stddev, sample = leaves()
    term = LatentOvershooting([0.0, 1.0, 0.0], free_nats=0.0)
    term(counting_model(), chunk, stream())[0].backward()
    assert mean.grad.eq(0).all()
    assert stddev.grad.eq(0).all()
    # d = 2 reaches rows 1 and 2, from the zero state and from row 0: (2.5 - 4) / 2 / 3.
    assert_close(sample.grad.flatten(), torch.tensor([-1.5 / 2 / 3, 0, 0]))


def test_targets_of_one_step_are_trained():
    chunk, mean, stddev, _ = leaves()
    LatentOvershooting([1.0], 0.0)(counting_model(), chunk, stream())[0].backward()
    assert mean.grad.ne(0).all()
    assert stddev.grad.ne(0).all()


def test_rows_below_the_free_nats_have_no_gradient_at_any_distance():
    chunk, _, _, sample = leaves()
    term = LatentOvershooting([0.0, 1.0, 0.0], free_nats=100.0)
    loss, shown = term(counting_model(), chunk, stream())
    loss.backward()
    assert loss == 0
    assert shown > 0
    assert sample.grad.eq(0).all()


def test_chunks_as_long_as_the_distance_are_finite_with_their_gradients():
    """The last release compared padded rows of deviation zero, which gave NaN."""
    model = small_model()
    chunk = filtered(model, small_chunk(2, 6), stream())
    loss, _ = LatentOvershooting([1.0] * 6, 0.0)(model, chunk, stream())
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients(model, loss).values())


# Observation overshooting.


def test_observations_are_compared_with_what_was_imagined_for_their_row():
    """Errors 1 and 4 at d = 1 and 5 at d = 2: the mean of (1 + 16) / 4 and 25 / 2."""
    term = ObservationOvershooting(2)
    loss, _ = term(counting_model(), counted([1, 5]), stream())
    assert loss.item() == pytest.approx((4.25 + 12.5) / 2)


def test_perfect_predictions_have_no_error_at_any_distance():
    chunk = counted([1, 3, 7, 15], [1, 2, 4, 8])
    loss, _ = ObservationOvershooting(4)(counting_model(), chunk, stream())
    assert loss == 0


def test_decoding_a_share_is_unbiased_and_costs_that_share():
    model, decoded = counting_model(), []
    model.decoder.register_forward_hook(lambda *args: decoded.append(len(args[-1])))
    rows = torch.randn(4, 8, 1, generator=stream())
    chunk = Filtered(rows, rows, rows[..., 0], gaussian(rows), gaussian(rows))
    full, _ = ObservationOvershooting(3)(model, chunk, stream())
    assert decoded == [32, 28, 24]
    term, generator = ObservationOvershooting(3, decoded=0.25), stream()
    decoded.clear()
    draws = torch.stack([term(model, chunk, generator)[0] for _ in range(500)])
    assert decoded[:3] == [8, 7, 6]
    assert (draws.mean() - full).abs() < 3 * draws.std() / 500**0.5
    assert draws.std() > 0.1 * full


def test_the_gradient_reaches_decoder_prior_and_the_posteriors_it_starts_from():
    model = small_model()
    chunk = filtered(model, small_chunk(), stream())
    loss, _ = ObservationOvershooting(2, decoded=0.5)(model, chunk, stream())
    reached = gradients(model, loss)
    expected = {
        name for name, _ in model.named_parameters() if not name.startswith("reward")
    }
    assert {name for name, gradient in reached.items() if gradient.any()} == expected
