"""Pictures by ray casting: geometry, thin things, marks of the goal, every task."""

import subprocess
import sys

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_torch.envs import make
from planet_torch.envs.raycast import Raycaster
from planet_torch.envs.scene import as_drawn

SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 9"/>
    <camera name="ahead" pos="0 0 0" xyaxes="0 -1 0 0 0 1" fovy="90"/>
    {body}
  </worldbody>
</mujoco>
"""  # the camera looks along x; left is +y; at x = 1, the picture is 2 wide


RED = 'rgba="1 0 0 1"'


def scene(body, size=32):
    model = mujoco.MjModel.from_xml_string(SCENE.format(body=body))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return Raycaster(model, data, size, 0)


def redness(picture):
    return picture[..., 0].astype(int) - picture[..., 2]


@pytest.mark.parametrize(
    ("y", "z", "row", "column"),
    [(0.5, 0.5, 8, 8), (-0.5, 0.5, 8, 24), (0.5, -0.5, 24, 8)],
)
def test_a_ball_is_drawn_where_the_camera_sees_it(y, z, row, column):
    ball = f'<geom type="sphere" size=".06" pos="1 {y} {z}" rgba="1 0 0 1"/>'
    rows, columns = np.nonzero(redness(scene(ball).render()) > 0)
    assert rows.mean() + 0.5 == pytest.approx(row, abs=0.2)
    assert columns.mean() + 0.5 == pytest.approx(column, abs=0.2)


@settings(max_examples=20)
@given(st.integers(-500, 500).map(lambda millimetres: millimetres / 1000))
def test_a_pole_of_less_than_half_a_pixel_is_seen_wherever_it_stands(y):
    """One ray per pixel would miss it three times in five."""
    width = 0.4 * 2 / 32  # 32 pixels span 2 m at the pole

    def red(width):
        box = f'<geom type="box" pos="1 {y} 0" size="1e-3 {width / 2} .5" {RED}/>'
        return redness(scene(box).render())[9:23]

    # One or two of three samples abreast meet it, before a sky that is a little blue.
    weight = red(width).clip(0).max(1) / red(0.2).max()
    assert (weight > 0.15).all()
    assert (weight < 0.7).all()


def test_a_wide_thing_is_not_refined_inside():
    caster = scene('<geom type="box" size=".1 .5 .5" pos="1.1 0 0" rgba="1 0 0 1"/>')
    picture = caster.render()
    inside = picture[10:22, 10:22]
    assert (inside == inside[0, 0]).all()


def test_the_edge_of_a_box_is_blended_by_how_much_it_covers():
    """The edge at y = 0.02 leaves 0.32 of a pixel of 1/16 m: one sample of three."""
    box = '<geom type="box" size=".1 .26 .5" pos="1.1 .28 0" rgba="1 0 0 1"/>'
    row = redness(scene(box).render())[16]
    sky, box = row[20], row[12]
    assert row[15] == pytest.approx(box + (sky - box) / 3, abs=2)


@pytest.mark.parametrize(
    ("attributes", "seen"),
    [
        ('rgba="1 0 0 1"', True),
        ('rgba="1 0 0 1" group="2"', True),
        ('rgba="1 0 0 1" group="3"', False),
        ('rgba="1 0 0 0"', False),
    ],
)
@pytest.mark.parametrize("kind", ["geom", "site"])
def test_what_mujoco_shows_by_default_is_drawn(kind, attributes, seen):
    ball = f'<{kind} type="sphere" size=".3" pos="1 0 0" {attributes}/>'
    assert (redness(scene(ball).render()).max() > 100) == seen


def test_a_mark_behind_a_wall_is_hidden_and_one_before_it_is_not():
    wall = '<geom type="box" size=".01 2 2" pos="1 0 0" rgba="0 0 1 1"/>'
    mark = '<site type="sphere" size=".3" pos="{} 0 0" rgba="1 0 0 1"/>'
    assert redness(scene(wall + mark.format(2)).render()).max() < 0
    assert redness(scene(wall + mark.format(0.6)).render()).max() > 100


CHECKS = """
<mujoco>
  <asset>
    <texture name="t" type="2d" builtin="checker" rgb1=".1 .1 .1" rgb2=".5 .5 .5"
      width="64" height="64"/>
    <material name="m" texture="t" texrepeat="1 1" texuniform="true"/>
  </asset>
  <worldbody>
    <camera pos="{x} 0 3" xyaxes="0 -1 0 .8 0 .6" fovy="60"/>
    <geom type="plane" size="40 40 1" material="m"/>
  </worldbody>
</mujoco>
"""


def ground(x, size):
    model = mujoco.MjModel.from_xml_string(CHECKS.format(x=x))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return Raycaster(model, data, size, 0).render().astype(float)


def test_checks_are_averaged_over_what_a_pixel_covers():
    """A picture is what a sixteen times larger one is on average, near the camera."""
    small = ground(0.3, 32)
    large = ground(0.3, 512).reshape(32, 16, 32, 16, 3).mean((1, 3))
    assert np.abs(small - large)[16:].mean() < 4
    assert np.abs(small - large).max() < 60


def test_motion_over_the_ground_is_seen():
    assert np.abs(ground(0, 32) - ground(0.5, 32)).mean() > 5
    np.testing.assert_allclose(ground(0, 32), ground(2, 32), atol=1)  # a period


def test_what_a_task_has_hidden_is_not_drawn():
    """The target that fish-swim shows has a material, and is made transparent."""
    env = make("dmc/fish-upright", camera=3)
    env.reset(seed=0)
    model, _ = simulation(env)
    hidden = env.render()
    groups = model.geom_group.copy()
    model.geom("target").group = 5
    np.testing.assert_array_equal(env.render(), hidden)
    model.geom_group[:] = groups


def simulation(env):
    physics = env.unwrapped.environment.physics
    return physics.model.ptr, physics.data.ptr


def test_every_ray_meets_what_it_meets_alone():
    """mj_multiRay by itself cuts off the fingertip, which collides with nothing."""
    env = make("dmc/finger-turn_easy", image_size=16)
    tips = 0
    for seed in range(4):
        env.reset(seed=seed)
        model, data = simulation(env)
        caster = env.unwrapped._renderer
        expected = [alone(model, data, ray) for ray in caster._rays[: 16 * 16]]
        with as_drawn(model, caster._scene.all.groups):
            _, met = caster._trace(caster._centres, caster._scene.all.sites)
        # Sites, which mj_ray does not know, have numbers above those of the geoms.
        same = (met == expected) | (met >= model.ngeom)
        assert same.all()
        assert (model.body_bvhadr >= 0).any()  # physics has them back
        tips += (met == model.geom("fingertip").id).sum()
    assert tips > 0


def alone(model, data, ray):
    geom = np.zeros(1, np.int32)
    groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
    mujoco.mj_ray(model, data, data.cam_xpos[0], ray, groups, 1, -1, geom)
    return geom[0]


def test_the_picture_is_a_function_of_the_state_alone():
    one, other = make("dmc/walker-walk"), make("dmc/walker-walk")
    one.reset(seed=1)
    other.reset(seed=2)
    for _ in range(3):
        one.step(np.ones(6))
    (model, source), (_, target) = simulation(one), simulation(other)
    other.render()
    target.qpos[:] = source.qpos
    mujoco.mj_forward(model, source)
    mujoco.mj_forward(model, target)
    np.testing.assert_array_equal(one.render(), other.render())


def test_no_opengl_library_is_loaded():
    program = """
from planet_torch.envs import make
env = make("dmc/cartpole-balance", image_size=32)
env.reset(seed=0)
env.step(env.action_space.sample())
loaded = {line.split()[-1].rsplit("/", 1)[-1] for line in open("/proc/self/maps")}
assert any("mujoco" in name for name in loaded), loaded
print([name for name in loaded if name.startswith(
    ("libGL", "libEGL", "libOSMesa", "libglfw", "libgallium", "swrast"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# One task for each model. The rest differ by rewards and starts only.
MODELS = [
    *("acrobot-swingup", "ball_in_cup-catch", "cartpole-three_poles", "cheetah-run"),
    *("finger-turn_hard", "fish-swim", "hopper-hop", "humanoid-walk", "lqr-lqr_6_2"),
    *("manipulator-bring_ball", "manipulator-insert_peg", "pendulum-swingup"),
    *("point_mass-easy", "quadruped-escape", "quadruped-fetch", "reacher-hard"),
    *("stacker-stack_4", "swimmer-swimmer15", "walker-walk", "humanoid_CMU-walk"),
    "dog-walk",
]


# What a camera does not see: the ball turning about its centre, since only the ground
# has a texture here.
UNSEEN = {"manipulator-bring_ball": {"ball_y"}, "quadruped-fetch": {"ball_root"}}


@pytest.mark.parametrize("task", MODELS)
def test_the_motion_of_each_joint_is_seen(task):
    """In one episode at least: things hide one another."""
    env = make(f"dmc/{task}", image_size=32)
    unseen = [unseen_freedoms(env, seed) for seed in (3, 4)]
    assert set.intersection(*unseen) == UNSEEN.get(task, set())


def unseen_freedoms(env, seed):
    """The joints that can be moved without a change in the first picture."""
    before, _ = env.reset(seed=seed)
    model, data = simulation(env)
    start = data.qpos.copy()
    unseen = set()
    for freedom, move in enumerate(0.3 * np.eye(model.nv)):
        data.qpos[:] = start
        mujoco.mj_integratePos(model, data.qpos, move, 1)
        mujoco.mj_forward(model, data)
        if (env.render() == before).all():
            unseen.add(model.joint(model.dof_jntid[freedom]).name)
    return unseen


@pytest.mark.parametrize("task", MODELS)
def test_what_is_drawn_once_is_as_if_it_were_drawn_anew(task):
    """To the bit, after moves and in a new episode."""
    env = make(f"dmc/{task}", image_size=32)
    env.action_space.seed(0)
    for seed in (0, 1):
        env.reset(seed=seed)
        caster = env.unwrapped._renderer
        for _ in range(4):
            shown = env.render()
            anew = caster._draw(
                caster._scene.all, caster._blank, caster._centres
            ).colour
            anew = (anew * 255 + 0.5).astype(np.uint8).reshape(shown.shape)
            np.testing.assert_array_equal(shown, anew)
            env.step(env.action_space.sample())


def test_what_rests_is_drawn_again_when_it_was_moved():
    ball = f'<geom type="sphere" size=".1" pos="1 0 0" {RED}/>'
    caster = scene(ball)
    before = caster.render()
    caster.model.geom_pos[0, 1] = 0.5
    mujoco.mj_forward(caster.model, caster.data)
    moved = caster.render()
    assert redness(before)[16, 16] > 100 > redness(moved)[16, 16]
    np.testing.assert_array_equal(
        moved, scene(ball.replace("1 0 0", "1 .5 0", 1)).render()
    )


# What marks the goal of a task, where the picture has to show it.
MARKS = {
    "reacher-easy": ("geom", "target"),
    "reacher-hard": ("geom", "target"),
    "point_mass-easy": ("geom", "target"),
    "finger-turn_easy": ("site", "target"),
    "finger-turn_hard": ("site", "target"),
    "fish-swim": ("geom", "target"),
    "swimmer-swimmer6": ("geom", "target"),
    "manipulator-bring_ball": ("geom", "target_ball"),
    "manipulator-bring_peg": ("geom", "target_blade"),
    "stacker-stack_2": ("geom", "target"),
    "quadruped-fetch": ("site", "target"),
}


@pytest.mark.parametrize("task", MARKS)
def test_the_mark_of_the_goal_is_in_the_picture(task):
    """Hiding it changes the picture, in one episode at least: some begin far away."""
    kind, name = MARKS[task]
    env = make(f"dmc/{task}", image_size=32)
    changed = []
    for seed in range(12):
        env.reset(seed=seed)
        shown = env.render()
        model, _ = simulation(env)
        rgba = getattr(model, kind)(name).rgba
        before = rgba.copy()
        rgba[3] = 0
        env.unwrapped._renderer.refresh()
        changed.append((env.render() != shown).any())
        rgba[:] = before
    assert any(changed)
