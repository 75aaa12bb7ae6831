"""Planning with the true simulator: returns of action sequences on copies of MuJoCo.

The physics of all candidates is rolled out by `mujoco.rollout`, in C and on all cores.
The rewards are dm_control's own. For the tasks of the paper they are computed from the
states of all candidates at once; for all others each state is put into a copy of the
physics, and the task asked for its reward, which is slower by far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from planet_torch.cores import available
from planet_torch.envs.dm_control import DmControl

if TYPE_CHECKING:
    from dm_control.rl.control import Environment

Env = gymnasium.Env[Any, Any]
SLICE = 4_000_000  # Numbers in the trajectories held at once, 32 MB.


class Simulator:
    """The returns of candidates in dm_control environments: a `planners.ReturnFn`.

    Each call starts from the present states of the environments, and changes nothing in
    them. Returns go on beyond the time limit of an episode. A candidate that makes the
    physics diverge has the return NaN.
    """

    def __init__(self, envs: Sequence[Env], threads: int | None = None) -> None:
        """Look at environments made by `make("dmc/...")`.

        Args:
            envs: the B environments that are planned for.
            threads: for the physics; by default one for each core.

        Raises:
            ValueError: if an environment is not one of dm_control.
        """
        from mujoco import rollout

        self.pool = rollout.Rollout(nthread=threads or available())
        self.copies = [Copies(env, self.pool) for env in envs]

    def __call__(self, actions: Float[Tensor, "B J H A"]) -> Float[Tensor, "B J"]:
        """The sum of the rewards of H decisions, for each candidate."""
        if len(actions) != len(self.copies):
            raise ValueError(
                f"actions are for {len(actions)} environments, and the simulator has "
                f"{len(self.copies)}"
            )
        sequences = actions.detach().cpu().numpy()
        pairs = zip(self.copies, sequences, strict=True)
        returns = np.stack([copies.returns(candidates) for copies, candidates in pairs])
        return torch.from_numpy(returns).to(actions)

    def close(self) -> None:
        """End the threads."""
        self.pool.close()


@dataclass(frozen=True)
class Rolled:
    """What J candidates have led to after each of their T control steps.

    Attributes:
        start: time at which they began, in seconds.
        state: the full state of the physics.
        qpos: positions, a part of the state.
        qvel: velocities, a part of the state.
        control: what the actuators were set to for the step.
        sensors: readings of position and velocity sensors in that state; dm_control
            leaves those of forces and accelerations one substep behind, as in `late`.
        late: all readings, from the state before the last substep.
    """

    start: float
    state: Float64[np.ndarray, "J T state"]
    qpos: Float64[np.ndarray, "J T nq"]
    qvel: Float64[np.ndarray, "J T nv"]
    control: Float64[np.ndarray, "J T nu"]
    sensors: Float64[np.ndarray, "J T sensors"]
    late: Float64[np.ndarray, "J T sensors"]

    def diverged(self, control_step: float) -> Bool[np.ndarray, "J"]:
        """Which candidates MuJoCo has stopped or reset, seen by their clocks."""
        elapsed = np.diff(self.state[:, :, 0], axis=1, prepend=self.start)
        wrong: Bool[np.ndarray, "J T"] = np.abs(elapsed / control_step - 1) > 0.5
        return np.logical_or.reduce(wrong, axis=1)


RewardsOf = Callable[["Environment", Rolled], Float64[np.ndarray, "J T"]]


class Copies:
    """Copies of the physics of one environment."""

    def __init__(self, env: Env, pool: Any) -> None:
        """Look at an environment; `pool` is a `mujoco.rollout.Rollout`."""
        import mujoco

        if not isinstance(env.unwrapped, DmControl):
            raise ValueError(
                f"{env} has no simulator to plan with; only dmc/... tasks have"
            )
        self.environment = environment = env.unwrapped.environment
        self.in_own_units = env.get_wrapper_attr("in_own_units")
        self.repeat = env.get_wrapper_attr("action_repeat")
        self.pool = pool
        self.model = environment.physics.model.ptr
        self.workers = [mujoco.MjData(self.model) for _ in range(pool.nthread)]
        self.control_step = environment.control_timestep()
        self.substeps = round(self.control_step / environment.physics.timestep())
        task = type(environment.task)
        name = f"{task.__module__.rpartition('.')[2]}.{task.__name__}"
        self.rewards_of: RewardsOf = ALL_AT_ONCE.get(name, one_by_one)

    def returns(self, actions: Float[np.ndarray, "J H A"]) -> Float64[np.ndarray, "J"]:
        """The sum of the rewards of each sequence of actions."""
        control = self.in_own_units(actions[..., : self.model.nu])
        control = control.astype(np.float64).repeat(self.repeat, axis=1)
        width = self.model.nq + self.model.nv + self.model.nsensordata
        size = max(1, SLICE // (control.shape[1] * self.substeps * width))
        parts = [control[at : at + size] for at in range(0, len(control), size)]
        return np.concatenate([self.slice_returns(part) for part in parts])

    def slice_returns(
        self, control: Float64[np.ndarray, "J T nu"]
    ) -> Float64[np.ndarray, "J"]:
        """The sum of the rewards of T control steps."""
        rolled = self.rolled(control)
        returns = self.rewards_of(self.environment, rolled).sum(axis=1)
        returns[rolled.diverged(self.control_step)] = np.nan
        return returns

    def rolled(self, control: Float64[np.ndarray, "J T nu"]) -> Rolled:
        """Roll the physics out from its present state."""
        import mujoco

        model, data = self.model, self.environment.physics.data.ptr
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        start = np.empty(mujoco.mj_stateSize(model, full))
        mujoco.mj_getState(model, data, start, full)
        # Sensors are read at the beginning of a substep: one more of them tells what
        # they read after the last.
        held = control.repeat(self.substeps, axis=1)
        held = np.concatenate([held, held[:, -1:]], axis=1)
        states = np.tile(start, (len(control), 1))
        state, sensors = self.pool.rollout(
            model, self.workers, states, held, initial_warmstart=data.qacc_warmstart
        )
        last = slice(self.substeps - 1, -1, self.substeps)
        velocity = 1 + model.nq
        return Rolled(
            start=float(start[0]),
            state=state[:, last],
            qpos=state[:, last, 1:velocity],
            qvel=state[:, last, velocity : velocity + model.nv],
            control=control,
            sensors=sensors[:, self.substeps :: self.substeps],
            late=sensors[:, last],
        )


def one_by_one(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """The rewards of any task: asked about a copy of the physics in each state."""
    import mujoco

    physics, task = environment.physics.copy(share_model=True), environment.task
    model, data = physics.model.ptr, physics.data.ptr
    J, T, _ = rolled.state.shape
    rewards = np.zeros((J, T))
    for j in range(J):
        for t in range(T):
            full = mujoco.mjtState.mjSTATE_FULLPHYSICS
            mujoco.mj_setState(model, data, rolled.state[j, t], full)
            data.ctrl[:] = rolled.control[j, t]
            data.sensordata[:] = rolled.late[j, t]
            # As in dm_control's own step: positions, velocities and their sensors of
            # this state; forces and accelerations stay those of the substep before.
            mujoco.mj_step1(model, data)
            rewards[j, t] = task.get_reward(physics)
            if task.get_termination(physics) is not None:
                break
    return rewards


def cartpole(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Balance and swing-up, smooth and sparse, with any number of poles."""
    from dm_control.utils.rewards import tolerance

    task = environment.task
    cart = rolled.qpos[:, :, 0]
    cosine = np.cos(rolled.qpos[:, :, 1:].cumsum(axis=2))
    if task._sparse:
        upright = tolerance(cosine, task._ANGLE_COSINE_RANGE).prod(axis=2)
        return tolerance(cart, task._CART_RANGE) * upright
    upright = (cosine.mean(axis=2) + 1) / 2
    centred = (1 + tolerance(cart, margin=2)) / 2
    small = tolerance(
        rolled.control[:, :, 0], margin=1, value_at_margin=0, sigmoid="quadratic"
    )
    slow = tolerance(rolled.qvel[:, :, 1:], margin=5).min(axis=2)
    return upright * (4 + small) / 5 * (1 + slow) / 2 * centred


def finger_spin(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Spin the body."""
    from dm_control.suite.finger import _SPIN_VELOCITY

    velocity = reading(environment, rolled, "hinge_velocity")
    return (velocity <= -_SPIN_VELOCITY).astype(np.float64)


def cheetah(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Run."""
    speed = reading(environment, rolled, "torso_subtreelinvel")
    return asked(environment, speed=speed)


def walker(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Stand, walk and run."""
    rest = environment.physics.named.model.body_pos["torso", "z"]
    return asked(
        environment,
        torso_height=rest + rolled.qpos[:, :, 0],
        torso_upright=np.cos(rolled.qpos[:, :, 2]),
        horizontal_velocity=reading(environment, rolled, "torso_subtreelinvel"),
    )


def ball_in_cup(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Catch the ball. Cup and ball slide, so that their positions are sums."""
    model = environment.physics.named.model
    target = model.body_pos["cup"] + model.site_pos["target"]
    apart = (target - model.body_pos["ball"])[[0, 2]]
    apart = apart + rolled.qpos[:, :, :2] - rolled.qpos[:, :, 2:]
    inside = model.site_size["target", [0, 2]] - model.geom_size["ball", 0]
    return asked(environment, in_target=(abs(apart) < inside).all(axis=2) * 1.0)


def reacher(environment: Environment, rolled: Rolled) -> Float64[np.ndarray, "J T"]:
    """Reach, with an arm of two links in the plane."""
    model = environment.physics.named.model
    angle = rolled.qpos.cumsum(axis=2)
    links = model.body_pos[["hand", "finger"], "x"]
    finger = [(links * turn(angle)).sum(axis=2) for turn in (np.cos, np.sin)]
    apart = np.stack(finger, axis=2) - model.geom_pos["target", :2]
    return asked(environment, finger_to_target_dist=np.linalg.norm(apart, axis=2))


def reading(
    environment: Environment, rolled: Rolled, sensor: str
) -> Float64[np.ndarray, "J T"]:
    """The (first) number that a sensor reads."""
    address = environment.physics.model.sensor_adr[
        environment.physics.model.name2id(sensor, "sensor")
    ]
    return rolled.sensors[:, :, address]


def asked(
    environment: Environment, **quantities: Float64[np.ndarray, "J T"]
) -> Float64[np.ndarray, "J T"]:
    """The task's own reward, given what it would ask the physics, for all states."""
    answers = {name: lambda value=value: value for name, value in quantities.items()}
    physics = SimpleNamespace(named=environment.physics.named, **answers)
    rewards: Float64[np.ndarray, "J T"] = environment.task.get_reward(physics)
    return rewards


ALL_AT_ONCE: dict[str, RewardsOf] = {
    "ball_in_cup.BallInCup": ball_in_cup,
    "cartpole.Balance": cartpole,
    "cheetah.Cheetah": cheetah,
    "finger.Spin": finger_spin,
    "reacher.Reacher": reacher,
    "walker.PlanarWalker": walker,
}
