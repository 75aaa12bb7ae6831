"""Checkpoints are whole or absent, hold no code, and hold every random stream."""

import pytest
import torch

from planet_torch import checkpoint
from planet_torch.sealed import seal

CONTENT = {"world_model": {"weight": torch.arange(3.0)}, "counters": {"updates": 7}}


def test_what_is_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path / "new", 7, CONTENT)
    loaded = checkpoint.load(path)
    assert loaded["counters"] == {"updates": 7}
    torch.testing.assert_close(loaded["world_model"]["weight"], torch.arange(3.0))


def test_values_come_back_as_they_were(tmp_path):
    """Also their memory order, which the fused optimiser rests on."""
    picture = torch.arange(24.0).reshape(2, 2, 3, 2)
    content = {
        "last": picture.contiguous(memory_format=torch.channels_last),
        "turned": picture.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
        "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
        "betas": (0.9, 0.999),
        "list": [1, None, "a", 0.1, [torch.zeros(0, 3, dtype=torch.uint8)]],
    }
    loaded = checkpoint.load(checkpoint.save(tmp_path, 7, content))
    assert loaded["betas"] == content["betas"]
    assert loaded["state"].keys() == {0, 1}
    assert loaded["list"][:4] == content["list"][:4]
    pairs = [
        (loaded["last"], content["last"]),
        (loaded["turned"], content["turned"]),
        (loaded["state"][0]["step"], content["state"][0]["step"]),
        (loaded["list"][4][0], content["list"][4][0]),
    ]
    for back, was in pairs:
        assert back.dtype == was.dtype
        assert was.numel() == 0 or back.stride() == was.stride()
        assert torch.equal(back, was)


def test_the_newest_two_are_kept_in_order(tmp_path):
    for updates in (900, 1000, 20000):
        checkpoint.save(tmp_path, updates, CONTENT)
    assert [p.name for p in checkpoint.paths(tmp_path)] == [
        "checkpoint-000001000.safetensors",
        "checkpoint-000020000.safetensors",
    ]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("damage", "episodes"), [(None, 12), (b"", 0), (b"planet", 0)])
def test_a_damaged_one_that_is_the_oldest_does_not_say_how_many_episodes(
    tmp_path, damage, episodes
):
    path = checkpoint.save(tmp_path, 1, {"counters": {"episodes": 12}})
    checkpoint.save(tmp_path, 2, {"counters": {"episodes": 20}})
    if damage is not None:
        path.write_bytes(damage)
    assert checkpoint.oldest_episodes(tmp_path) == episodes


@pytest.mark.parametrize("damage", [b"", b"planet", None])
def test_what_is_not_whole_is_refused(tmp_path, damage):
    path = checkpoint.save(tmp_path, 1, CONTENT)
    path.write_bytes(path.read_bytes()[:-50] if damage is None else damage)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(path)


def test_a_checkpoint_whose_parts_have_no_names_is_refused(tmp_path):
    path = tmp_path / "checkpoint-000000001.safetensors"
    path.write_bytes(seal("checkpoint", {}, {"content": [[None, None]]})[0])
    with pytest.raises(ValueError, match="its parts have no names"):
        checkpoint.load(path)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_code_in_a_checkpoint_is_not_executed(tmp_path, capsys):
    path = tmp_path / "checkpoint-000000001.safetensors"
    torch.save({"evil": Evil()}, path)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(path)
    assert capsys.readouterr().out == ""


def draw(stream):
    return torch.rand(4, generator=stream).tolist()


def test_streams_follow_from_the_seed_and_differ_from_each_other():
    first, again, other = (checkpoint.streams(seed, "cpu") for seed in (0, 0, 1))
    drawn = {name: draw(stream) for name, stream in first.items()}
    assert drawn == {name: draw(stream) for name, stream in again.items()}
    others = {name: draw(stream) for name, stream in other.items()}
    distinct = {tuple(v) for v in [*drawn.values(), *others.values()]}
    assert len(distinct) == 2 * len(checkpoint.STREAMS)


def test_a_stream_goes_on_from_a_checkpoint(tmp_path):
    stream = checkpoint.streams(0, "cpu")["model"]
    draw(stream)
    path = checkpoint.save(tmp_path, 1, {"stream": stream.get_state()})
    expected = draw(stream)
    resumed = torch.Generator()
    resumed.set_state(checkpoint.load(path)["stream"])
    assert draw(resumed) == expected
