"""Checkpoints are whole or absent, hold no code, and hold every random stream."""

import pytest
import torch

from planet_torch import checkpoint

CONTENT = {"world_model": {"weight": torch.arange(3.0)}, "counters": {"updates": 7}}


def test_what_is_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path / "new", 7, CONTENT)
    loaded = checkpoint.load(path)
    assert loaded["counters"] == {"updates": 7}
    torch.testing.assert_close(loaded["world_model"]["weight"], torch.arange(3.0))


def test_the_newest_two_are_kept_in_order(tmp_path):
    for updates in (900, 1000, 20000):
        checkpoint.save(tmp_path, updates, CONTENT)
    assert [p.name for p in checkpoint.paths(tmp_path)] == [
        "checkpoint-000001000.pt",
        "checkpoint-000020000.pt",
    ]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"planet", None])
def test_what_is_not_whole_is_refused(tmp_path, damage):
    path = checkpoint.save(tmp_path, 1, CONTENT)
    path.write_bytes(path.read_bytes()[:-50] if damage is None else damage)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(path)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_code_in_a_checkpoint_is_not_executed(tmp_path, capsys):
    torch.save({"evil": Evil()}, tmp_path / "checkpoint-000000001.pt")
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(tmp_path / "checkpoint-000000001.pt")
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
