"""The replay keeps every bit, draws fairly, and costs the same however full it is."""

import os
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_torch import replay as replay_module
from planet_torch.chunk import Episode
from planet_torch.replay import Replay

lengths = st.lists(st.integers(2, 12), min_size=1, max_size=6)


def make_episode(rows, number=0, terminated=False):
    """Row t observes (number, t), is rewarded t, and acted (-t / rows, 0)."""
    t = np.arange(rows, dtype=np.float32)
    observation = np.stack([np.full_like(t, number), t], axis=1)
    return Episode(observation, np.stack([-t / rows, 0 * t], axis=1), t, terminated)


def make_images(rows, number=0):
    shape = (rows, 8, 8, 3)
    image = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    return replace(make_episode(rows), observation=image)


def fill(directory, rows, **options):
    replay = Replay(directory)
    for number, count in enumerate(rows):
        replay.add(make_episode(count, number, **options))
    return replay


def draw(replay, batch=4, length=5, seed=0):
    return replay.sample(batch, length, torch.Generator().manual_seed(seed))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def assert_same(episode, other):
    assert episode.terminated == other.terminated
    for name in ("observation", "action", "reward"):
        left, right = getattr(episode, name), getattr(other, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@given(lengths, st.booleans(), st.booleans())
@settings(deadline=None, max_examples=25)
def test_any_episodes_come_back_from_the_directory_alone(rows, terminated, images):
    make = make_images if images else make_episode
    episodes = [replace(make(n, i), terminated=terminated) for i, n in enumerate(rows)]
    with tempfile.TemporaryDirectory() as directory:
        written = Replay(directory)
        for episode in episodes:
            written.add(episode)
        for replay in (written, Replay(directory)):
            assert len(replay) == len(rows)
            assert replay.frames == sum(rows)
            for index, episode in enumerate(episodes):
                assert_same(replay.read(index), episode)


def test_arrays_in_another_memory_order_are_stored_by_their_values(tmp_path):
    images = make_images(5)
    turned = np.asfortranarray(images.observation)
    replay = Replay(tmp_path)
    replay.add(replace(images, observation=turned))
    assert_same(replay.read(0), images)


def test_equal_episodes_are_equal_files(tmp_path):
    """With two keys of metadata each file would draw their order anew."""
    replay = Replay(tmp_path)
    paths = [replay.add(make_episode(3)) for _ in range(20)]
    assert len({path.read_bytes() for path in paths}) == 1


@given(lengths, st.integers(1, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_a_chunk_is_successive_rows_of_one_episode(rows, length, seed):
    rows = [count + length for count in rows]
    with tempfile.TemporaryDirectory() as directory:
        chunk = draw(fill(directory, rows), batch=8, length=length, seed=seed)
    number, t = chunk.observation.unbind(-1)
    assert torch.equal(number, number[:, :1].expand_as(number))
    assert torch.equal(t, t[:, :1] + torch.arange(length))
    assert torch.equal(chunk.reward, t)
    count = torch.tensor(rows, dtype=torch.float32)[number.long()]
    assert torch.equal(chunk.action[..., 0], -t / count)
    assert not chunk.action[..., 1].any()


def test_images_of_a_chunk_are_those_of_the_episode(tmp_path):
    episode = make_images(9)
    replay = Replay(tmp_path)
    replay.add(episode)
    chunk = draw(replay, batch=6, length=4)
    assert chunk.observation.dtype == torch.uint8
    for image, reward in zip(chunk.observation, chunk.reward, strict=True):
        start = int(reward[0])
        expected = episode.observation[start : start + 4]
        np.testing.assert_array_equal(image.numpy(), expected)


def test_episodes_are_drawn_alike_however_long_and_so_is_each_place_in_them(tmp_path):
    """Chi-square below its 99.9 % points: 16.3 for 3 degrees of freedom, 22.5 for 6."""
    rows, length, draws = (5, 8, 11, 50), 5, 4000
    chunk = draw(fill(tmp_path, rows), batch=draws, length=length)
    number, start = chunk.observation[:, 0].unbind(-1)

    def chi_square(values, categories):
        counts = Counter(values.tolist())
        assert set(counts) == set(range(categories))
        expected = len(values) / categories
        return sum((count - expected) ** 2 / expected for count in counts.values())

    assert chi_square(number, 4) < 16.3
    assert chi_square(start[number == 2], 11 - length + 1) < 22.5  # both ends are drawn
    assert not start[number == 0].any()


def test_the_generator_decides_everything(tmp_path):
    replay = fill(tmp_path, (20, 30, 40))
    one, same, other = draw(replay), draw(Replay(tmp_path)), draw(replay, seed=1)
    assert torch.equal(one.observation, same.observation)
    assert not torch.equal(one.observation, other.observation)


def test_after_the_end_of_the_task_nothing_happens_any_more(tmp_path):
    replay = fill(tmp_path, (3,), terminated=True)
    chunk = draw(replay, batch=1, length=5)
    assert chunk.observation[0, :, 1].tolist() == [0, 1, 2, 2, 2]
    assert chunk.reward[0].tolist() == [0, 1, 2, 0, 0]
    thirds = torch.tensor([0, 1, 2, 2, 1])  # whatever was done: the actions backwards
    assert chunk.action[0, :, 0].tolist() == pytest.approx((-thirds / 3).tolist())


@given(st.integers(2, 14), st.integers(2, 9), st.integers(0, 2**31))
def test_half_a_chunk_may_come_after_the_end_of_the_task(rows, length, seed):
    with tempfile.TemporaryDirectory() as directory:
        replay = fill(Path(directory), (rows,), terminated=True)
        chunk = draw(replay, batch=200, length=length, seed=seed)
    place = chunk.observation[..., 1]
    first = place[:, :1]
    assert torch.equal(place, (first + torch.arange(length)).clamp(max=rows - 1))
    assert set(first.flatten().tolist()) <= set(range(rows))
    over = first + torch.arange(length) > rows - 1
    assert not chunk.reward[over].any()
    assert (chunk.action[..., 0][over] < 0).all()  # that of the reset is none of them
    if rows >= length:
        assert over.sum(dim=1).max() == length // 2


def test_after_a_time_limit_nobody_knows(tmp_path):
    replay = fill(tmp_path, (3,), terminated=False)
    with pytest.raises(ValueError, match=r"after 3 rows.*the 5 of.*lower train.chunk"):
        draw(replay, length=5)


def test_an_empty_replay_has_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no episodes"):
        draw(Replay(tmp_path / "new"))


def with_value(name, row, value):
    episode = make_episode(4)
    getattr(episode, name)[row] = value
    return episode


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (with_value("reward", 2, np.nan), "reward is not finite in row 2"),
        (with_value("action", 3, np.inf), "action is not finite in row 3"),
        (with_value("observation", 1, -np.inf), "observation is not finite in row 1"),
        (with_value("action", 2, -7.0), r"action is beyond \[-1, 1\] in row 2"),
        (with_value("reward", 0, 1.0), "row 0 is the reset"),
        (with_value("action", 0, 1.0), "row 0 is the reset"),
        (make_episode(1), "1 rows, fewer than 2"),
        (make_images(4), "a replay holds one kind"),
        (
            replace(make_episode(4), observation=np.zeros((4, 3), np.float32)),
            "one kind",
        ),
        (
            replace(make_episode(4), observation=np.zeros((4, 2), np.uint8)),
            "observation",
        ),
        (replace(make_episode(4), observation=np.zeros((4, 2))), "float64"),
    ],
)
def test_what_would_poison_the_replay_is_refused(tmp_path, episode, message):
    replay = fill(tmp_path, (4,))
    before = names(tmp_path)
    with pytest.raises(ValueError, match=message):
        replay.add(episode)
    assert names(tmp_path) == before
    assert len(replay) == 1


@pytest.mark.parametrize(
    "damage", ["cut", "longer", "empty", "renamed", "other format"]
)
def test_a_damaged_file_is_named_and_set_aside(tmp_path, damage):
    replay = fill(tmp_path, (4, 5, 6))
    path = tmp_path / "episode-000001-00005.safetensors"
    content = path.read_bytes()
    torn = {
        "cut": content[:-1],
        "longer": content + b"x",
        "empty": b"",
        "renamed": (tmp_path / "episode-000000-00004.safetensors").read_bytes(),
        "other format": content.replace(b'format\\": 2', b'format\\": 9'),
    }[damage]
    assert torn != content
    path.write_bytes(torn)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        replay = Replay(tmp_path)
    assert not path.exists()
    assert path.with_name(f"{path.name}.damaged-1").read_bytes() == torn
    assert [len(replay.read(index)) for index in range(len(replay))] == [4, 6]
    assert replay.add(make_episode(7)).name == "episode-000003-00007.safetensors"
    replay.truncate(2)
    assert list(replay.checksums) == [0]


def test_without_any_episode_one_cannot_go_on(tmp_path):
    with pytest.raises(ValueError, match=r"first 2 episodes.*none is there"):
        Replay(tmp_path).truncate(2)


def test_an_episode_of_another_run_is_set_aside(tmp_path):
    """Whole, of the same kind, under the right name: only the record tells."""
    recorded = fill(tmp_path / "mine", (4, 5, 6)).checksums
    fill(tmp_path / "other", (7, 5), terminated=True)
    name = "episode-000001-00005.safetensors"
    (tmp_path / "other" / name).replace(tmp_path / "mine" / name)
    assert len(Replay(tmp_path / "mine")) == 3
    with pytest.warns(UserWarning, match=f"{name} is damaged .*run recorded"):
        replay = Replay(tmp_path / "mine", recorded=recorded)
    assert list(replay.checksums) == [0, 2]


def test_a_file_of_another_format_is_no_episode(tmp_path):
    written = make_episode(4)
    arrays = {n: getattr(written, n) for n in ("observation", "action", "reward")}
    header = {"episode": '{"format": 1, "terminated": false}'}
    path = tmp_path / "episode-000000-00004.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays, header))
    with pytest.warns(UserWarning, match="its format is 1, not 2"):
        assert len(Replay(tmp_path)) == 0


def flipped(path):
    """One bit of the last row's observation."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    return bytes(content)


def other(path):
    """A whole episode, of as many rows, from elsewhere."""
    foreign = fill(path.parents[1] / "foreign", (9, 9, 6))
    return foreign._path(2, 6).read_bytes()


@pytest.mark.parametrize("sampled", [False, True], ids=["unread", "read before"])
@pytest.mark.parametrize(
    "spoil", [lambda _: b"torn", flipped, other], ids=["torn", "flipped", "foreign"]
)
def test_a_file_spoilt_while_the_run_is_on_is_not_sampled(tmp_path, sampled, spoil):
    """Also by a program that leaves its size and its times of change as they were."""
    replay = fill(tmp_path / "mine", (6,))
    if sampled:
        draw(replay)
    (path,) = (tmp_path / "mine").iterdir()
    before = path.stat()
    path.write_bytes(spoil(path))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"000000.*spoilt while the run was on"):
            draw(replay)


def test_a_file_that_was_replaced_by_its_like_is_sampled(tmp_path):
    """A restored backup is no damage; nor is a file checked more often than needed."""
    replay = fill(tmp_path, (6,))
    drawn = draw(replay).observation
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        read = Counter()
        inspect = replay_module.inspect
        patch.setattr(
            replay_module, "inspect", lambda *a: read.update(a[:1]) or inspect(*a)
        )
        for _ in range(3):
            assert torch.equal(draw(replay).observation, drawn)
        assert read == {path: 1}


@given(lengths, st.integers(1, 40))
def test_the_newest_episodes_that_fit_are_sampled(rows, most):
    with tempfile.TemporaryDirectory() as directory:
        replay = Replay(directory, max_frames=most)
        for number, count in enumerate(rows):
            replay.add(make_episode(count, number))
        kept = replay.checksums
        assert len(kept) == len(replay)
        assert replay.frames == sum(rows[number] for number in kept)
        assert list(kept) == list(range(len(rows)))[-len(kept) :]
        assert replay.frames <= most or len(kept) == 1
        older = len(rows) - len(kept) - 1
        assert older < 0 or replay.frames + rows[older] > most
        drawn = draw(replay, batch=20, length=2).observation[:, 0, 0]
        assert set(drawn.tolist()) <= set(kept)
        assert Replay(directory, max_frames=most).checksums == kept


@given(lengths, st.integers(1, 40), st.data())
def test_what_may_be_gone_back_to_stays_on_the_disk(rows, most, data):
    """After pruning, going back to a checkpoint gives what was sampled then."""
    back = data.draw(st.integers(1, len(rows)))
    with tempfile.TemporaryDirectory() as directory:
        replay = Replay(directory, max_frames=most)
        for number, count in enumerate(rows):
            replay.add(make_episode(count, number))
            if number + 1 == back:
                sampled = replay.checksums
        now = replay.checksums
        replay.prune(back)
        assert replay.checksums == now
        present = {int(name.split("-")[1]) for name in names(Path(directory))}
        assert present == sampled.keys() | now.keys() | {*range(back, len(rows))}
        again = Replay(directory, max_frames=most)
        again.truncate(back)
        assert again.checksums == sampled


def test_strangers_are_named_and_our_own_leftovers_are_not(tmp_path, recwarn):
    fill(tmp_path, (4, 5)).truncate(1)
    (tmp_path / ".partial-episode-000001-00005.safetensors").write_bytes(b"torn")
    Replay(tmp_path)
    assert not recwarn
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match=r"notes\.txt"):
        assert len(Replay(tmp_path)) == 1


def test_two_files_of_one_number_are_refused(tmp_path):
    fill(tmp_path, (4,))
    fill(tmp_path / "other", (5,))
    other = "episode-000000-00005.safetensors"
    (tmp_path / "other" / other).rename(tmp_path / other)
    (tmp_path / "other").rmdir()
    with pytest.raises(ValueError, match="claim to be episode 0"):
        Replay(tmp_path)


def test_going_back_and_collecting_again_equals_never_having_stopped(tmp_path):
    whole = fill(tmp_path / "whole", (4, 5, 6))
    cut = fill(tmp_path / "cut", (4, 5, 9, 9))
    cut.truncate(2)
    assert len(cut) == 2
    assert cut.frames == 9
    cut.add(make_episode(6, 2))
    for replay in (cut, Replay(tmp_path / "cut")):
        assert_same(replay.read(-1), whole.read(-1))
        drawn = draw(replay, length=3).observation
        assert torch.equal(drawn, draw(whole, length=3).observation)


def test_what_is_set_aside_is_never_lost(tmp_path):
    replay = fill(tmp_path, (4,))
    for _ in range(2):
        replay.add(make_episode(5, 1))
        replay.truncate(1)
    assert names(tmp_path) == [
        "episode-000000-00004.safetensors",
        "episode-000001-00005.safetensors.superseded-1",
        "episode-000001-00005.safetensors.superseded-2",
    ]
    replay.truncate(0)
    replay.add(make_images(3))  # an empty replay takes any kind
    assert len(Replay(tmp_path)) == 1


def link(directory, episodes):
    """Many names for the first file: as many episodes, without their disk space."""
    [first] = directory.iterdir()
    for number in range(1, episodes):
        os.link(first, directory / first.name.replace("000000", f"{number:06d}"))
    return Replay(directory)


def test_ten_thousand_episodes_cost_no_more_than_ten(tmp_path, monkeypatch):
    """Counts what touches the disk, as seconds depend on the machine's mood."""
    calls = Counter()

    def count(module, name):
        function = getattr(module, name)

        def counted(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    fill(tmp_path / "small", (6,))
    fill(tmp_path / "large", (6,))
    replays = link(tmp_path / "small", 10), link(tmp_path / "large", 10_000)
    count(replay_module, "safe_open")
    for name in ("scandir", "listdir", "open", "stat"):
        count(os, name)
    for replay in replays:
        calls.clear()
        draw(replay, batch=20)
        replay.add(make_episode(6))
        # The file of each chunk; of a new episode, the file and the directory to sync.
        assert calls["safe_open"] == 20
        assert calls["open"] == 2
        assert not calls["scandir"]
        assert not calls["listdir"]
        # Of each chunk: whether the file is as it was when it was checked.
        assert calls["stat"] < 20 + 25


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_however_much_is_read(tmp_path):
    """300 mappings of 1.5 MB would be seen if they were kept."""
    rows = np.zeros((126, 64, 64, 3), np.uint8)
    Replay(tmp_path).add(replace(make_episode(126), observation=rows))
    replay = link(tmp_path, 300)

    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    draw(replay, batch=10, length=50)
    before = resident()
    for seed in range(100):
        draw(replay, batch=10, length=50, seed=seed)
    assert resident() - before < 30


def test_going_back_samples_what_was_sampled_then(tmp_path):
    """Also if older episodes are there still, as after a crash before pruning."""
    replay = Replay(tmp_path, max_frames=10)
    for number in range(3):
        replay.add(make_episode(4, number))
    sampled = replay.checksums
    assert list(sampled) == [1, 2]
    for number in range(3, 5):
        replay.add(make_episode(4, number))
    replay.truncate(3)
    assert (replay.checksums, replay.frames) == (sampled, 8)
