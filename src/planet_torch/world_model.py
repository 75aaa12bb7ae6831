"""The world model: encoder, latent dynamics, observation and reward heads."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from planet_torch.chunk import dequantise
from planet_torch.critic import Critic
from planet_torch.dynamics import Dynamics, State, stack
from planet_torch.planners import ReturnFn

ROWS = 1000  # of a slice in float32, and twice as many in bfloat16


class WorldModel(nn.Module):
    """What PlaNet learns: p(s_t | ...), p(o_t | s_t), p(r_t | s_t) and q(s_t | ...).

    Both heads are Gaussian with unit variance and give the mean. There is no way from
    an observation to them but through the state. A third head is optional.

    Args:
        encoder: observations to embeddings.
        dynamics: of the state.
        decoder: features to the mean of an observation.
        reward: features to the mean of a reward.
        value: features to what the discounted rewards after a state sum to, times
            1 - discount, so that it has the scale of one reward.
        discount: of a reward a decision later; below 1 where there is a value.
        own_starts: whether each candidate of a plan starts from a sample of its own.
        acts_on_means: whether `filter` and imagined returns follow the means of states
            and not samples of them.
        plans_to_value: whether imagined returns end in the value, if there is one.
        image_bits: bits a colour channel that the model sees.
        dtype: of the products in encoder, decoder and imagined returns. The rest, and
            every sum over many of them, is float32: where a filter runs for long or a
            divergence is small, bfloat16 would show.
    """

    def __init__(
        self,
        encoder: nn.Module,
        dynamics: Dynamics,
        decoder: nn.Module,
        reward: nn.Module,
        value: nn.Module | None = None,
        *,
        discount: float = 1.0,
        own_starts: bool = False,
        acts_on_means: bool = False,
        plans_to_value: bool = True,
        image_bits: int = 5,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dynamics = dynamics
        self.decoder = decoder
        self.reward = reward
        self.value = value
        self.discount = discount
        self.own_starts = own_starts
        self.acts_on_means = acts_on_means
        self.plans_to_value = plans_to_value
        self.image_bits = image_bits
        self.dtype = dtype

    def autocast(self) -> torch.autocast:
        """Where products are of ``dtype``."""
        device = next(self.parameters()).device.type
        return torch.autocast(device, self.dtype, self.dtype != torch.float32)

    def prepare(
        self, observation: Shaped[Tensor, "*batch"], generator: torch.Generator
    ) -> Tensor:
        """Observations as the networks read them.

        Images (..., H, W, C) uint8 become (..., C, H, W) with fresh dequantisation
        noise; vectors stay as they are.
        """
        if observation.dtype == torch.uint8:
            return dequantise(observation, self.image_bits, generator)
        return observation.to(torch.float32)

    def observe(
        self,
        observation: Float[Tensor, "B L *shape"],
        action: Float[Tensor, "B L A"],
        generator: torch.Generator,
        state: State | None = None,
    ) -> tuple[State, State]:
        """Filter prepared observations; see ``Dynamics.observe``."""
        noise = self.noise(2, *action.shape[:2], generator=generator)
        return self.dynamics.observe(self.embed(observation), action, noise, state)

    def embed(self, observation: Float[Tensor, "B L *shape"]) -> Float[Tensor, "B L E"]:
        """What the filter reads of prepared observations."""
        with self.autocast():
            embedding: Tensor = self.encoder(observation)
        return embedding.float()

    def decode(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "..."]:
        """The mean of the observation of each feature vector."""
        with self.autocast():
            mean: Tensor = self.decoder(features)
        return mean.float()

    def filter(
        self,
        state: State,
        observation: Float[Tensor, "B *shape"],
        action: Float[Tensor, "B A"],
        generator: torch.Generator,
    ) -> State:
        """The posterior one decision after ``state``, given the action in between."""
        embedding = self.embed(observation[:, None])[:, 0]
        noise = self.acting_noise(len(action), generator=generator)
        return self.dynamics.step(state, action, embedding, noise)

    def returns_from(self, state: State, generator: torch.Generator) -> ReturnFn:
        """The imagined returns of action sequences that start in ``state`` (B, ...).

        A return is the sum of the reward head's means over the states after each
        action, one trajectory a candidate. As reference, it is plain, and all start
        from one sample; with ``own_starts`` each has its own, as in the paper's
        Algorithm 2. With a value head it is discounted and ends in the last state's
        value.
        """
        return partial(self.candidate_returns, state, generator)

    def candidate_returns(
        self,
        state: State,
        generator: torch.Generator,
        actions: Float[Tensor, "B J H A"],
    ) -> Float[Tensor, "B J"]:
        """See ``returns_from``."""
        batch, candidates, horizon, size = actions.shape
        # Environment-major, like the actions: row b * J + j is candidate j of b.
        start = state.map(lambda part: part.repeat_interleave(candidates, dim=0))
        if self.own_starts:
            fresh = self.noise(batch * candidates, generator=generator)
            start = self.dynamics.state(start.mean, start.stddev, fresh, start.belief)
        noise = self.acting_noise(batch * candidates, horizon, generator=generator)
        flat = actions.reshape(batch * candidates, horizon, size)
        return self.imagined_returns(start, flat, noise).reshape(batch, candidates)

    def imagine(
        self,
        state: State,
        actions: Float[Tensor, "N D A"],
        noise: Float[Tensor, "N D S"],
    ) -> State:
        """What actions lead to, for an update; see ``Dynamics.imagine``.

        A part of its own, as it is compiled for this one length, and a prediction, of
        any length, is not.
        """
        return self.dynamics.imagine(state, actions, noise)

    def imagined_returns(
        self,
        start: State,
        actions: Float[Tensor, "N H A"],
        noise: Float[Tensor, "N H S"] | None,
    ) -> Float[Tensor, "N"]:
        """The return of each row of actions from its own start; see `returns_from`.

        The whole way is of ``dtype``: where states are float32 and products are not,
        every step converts both ways.
        """
        start = start.map(lambda part: part.to(self.dtype))
        noise = None if noise is None else noise.to(self.dtype)
        with self.autocast():
            return self.discounted(self.dynamics.imagine(start, actions, noise))

    def greedy_plans(
        self, state: State, count: int, horizon: int, generator: torch.Generator
    ) -> Float[Tensor, "B P H A"]:
        """Plans that take the best actions by the critic, in imagination.

        The first is greedy all along; in the others more and more components of the
        actions are at random bounds, up to half of those of the last.
        """
        assert isinstance(self.value, Critic)
        batch, actions = len(state.mean), self.value.action_size
        shape, device = (batch, count, horizon, actions), generator.device
        drawn = torch.rand((2, *shape), generator=generator, device=device)
        share = torch.linspace(0, 0.5, count, device=device)[:, None, None]
        bounds = drawn[0].sub(0.5).sign()
        strays = torch.where(drawn[1] < share, bounds, torch.nan).flatten(0, 1)
        noise = self.acting_noise(batch * count, horizon, generator=generator)
        start = state.map(lambda part: part.repeat_interleave(count, dim=0))
        return self.follow_critic(start, strays, noise)[1].reshape(shape)

    def follow_critic(
        self,
        state: State,
        strays: Float[Tensor, "N H A"],
        noise: Float[Tensor, "N H S"] | None,
    ) -> tuple[State, Float[Tensor, "N H A"]]:
        """Do what the critic likes best, but for what is given.

        Args:
            state: where each row starts.
            strays: what to do instead; NaN where the critic chooses.
            noise: of the imagined states; without it they are at their means.

        Returns:
            The states after each action (N, H, ...), and the actions.
        """
        critic, dynamics = self.value, self.dynamics
        assert isinstance(critic, Critic)
        each = [None] * strays.shape[1] if noise is None else noise.unbind(1)
        states, actions = [], []
        for stray, epsilon in zip(strays.unbind(1), each, strict=True):
            best = critic.choose(state.features)
            actions.append(torch.where(stray.isnan(), best, stray))
            carry = dynamics.advance(state, dynamics.project_action(actions[-1]))
            state = dynamics.prior(carry, epsilon)
            states.append(state)
        return stack(states), torch.stack(actions, dim=1)

    def follow(self) -> None:
        """Move what follows the weights slowly, if there is any, after an update."""
        if isinstance(self.value, Critic):
            self.value.follow()

    def discounted(self, states: State) -> Float[Tensor, "N"]:
        """What states (N, H, ...) are worth.

        The discounted rewards and the value of the last, or the sum of the rewards.
        """
        features = states.features
        count, horizon = features.shape[:2]
        reward = self.rewards_of(features.flatten(0, 1)).reshape(count, horizon)
        if self.value is None or not self.plans_to_value:
            return reward.sum(dim=1)
        factors = self.discount ** torch.arange(horizon, device=reward.device)
        last = self.value(features[:, -1]).squeeze(-1).float()
        beyond = self.discount**horizon / (1 - self.discount) * last
        return (reward * factors).sum(dim=1) + beyond

    def rewards_of(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N"]:
        """The mean reward of each of many feature vectors.

        On a CPU in slices, whose hidden layers stay in the cache.
        """
        on_cpu = features.device.type == "cpu"
        most = 4 * ROWS // features.element_size() if on_cpu else len(features)
        slices = torch.split(features, max(most, 1))
        rewards = [self.reward(rows).float() for rows in slices]
        return torch.cat(rewards).squeeze(-1)

    def noise(self, *batch: int, generator: torch.Generator) -> Tensor:
        """Standard normal noise (*batch, S), for the samples of the dynamics."""
        shape = (*batch, self.dynamics.stochastic_size)
        return torch.randn(shape, generator=generator, device=generator.device)

    def acting_noise(self, *batch: int, generator: torch.Generator) -> Tensor | None:
        """The noise of what an agent filters and foresees: none if it acts on means."""
        return None if self.acts_on_means else self.noise(*batch, generator=generator)
