"""Small models, one of them with numbers that explain themselves."""

import torch
from torch import nn

from planet_torch.chunk import Chunk
from planet_torch.dynamics import Dynamics, Sizes, State
from planet_torch.networks import MLP, ConvDecoder, ConvEncoder
from planet_torch.objectives import filtered, total
from planet_torch.recurrent import RSSM
from planet_torch.world_model import WorldModel


def stream(seed=0):
    """A random stream of its own."""
    return torch.Generator().manual_seed(seed)


def objective(model, terms, chunk, generator):
    """The loss of a chunk as an update reads it, and what is shown."""
    return total(model, terms, filtered(model, chunk, generator), generator)


def gaussian(mean, stddev=1.0, sample=None):
    """States without belief; the sample is the mean if not given."""
    mean = torch.as_tensor(mean, dtype=torch.float32)
    stddev = torch.as_tensor(stddev, dtype=torch.float32).expand(mean.shape)
    return State(mean, stddev, mean if sample is None else sample, mean[..., :0])


class Counting(Dynamics):
    """The prior adds the action to the state; the posterior is the observation."""

    stochastic_size, belief_size = 1, 0

    def __init__(self):
        super().__init__()
        self.device = nn.Parameter(torch.zeros(()))

    def project_action(self, action):
        return action

    def project_embedding(self, embedding):
        return embedding

    def advance(self, state, action):
        return state.sample + action

    def prior(self, carry, noise):
        return gaussian(carry)

    def posterior(self, carry, embedding, noise):
        return gaussian(embedding)


def counting_model():
    """A model whose every part is the identity, around ``Counting``."""
    return WorldModel(nn.Identity(), Counting(), nn.Identity(), nn.Identity())


def small_model(dynamics=RSSM, bits=5):
    """A world model of 16 x 16 pictures and two actions."""
    torch.manual_seed(0)
    encoder = ConvEncoder((3, 16, 16), width=2)
    embedding = encoder.embedding_size
    latent = dynamics(Sizes(2, embedding, stochastic_size=3, belief_size=4, units=5))
    decoder = ConvDecoder(latent.feature_size, (3, 16, 16), width=2)
    reward = MLP(latent.feature_size, 1, layers=1, units=5)
    return WorldModel(encoder, latent, decoder, reward, image_bits=bits)


def small_images(*batch):
    """Random pictures for ``small_model``."""
    shape = (*batch, 16, 16, 3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=stream(9))


def small_chunk(batch=2, length=4):
    """A random chunk for ``small_model``."""
    return Chunk(
        observation=small_images(batch, length),
        action=torch.rand(batch, length, 2, generator=stream(1)) * 2 - 1,
        reward=torch.rand(batch, length, generator=stream(2)),
    )
