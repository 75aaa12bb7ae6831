"""Groups of options: their names, and values of another type."""

import dataclasses

import pytest

from planet_torch import nested
from planet_torch.config import Config, PlannerConfig


def test_options_are_listed_with_their_groups():
    names = nested.option_names(Config)
    assert "planner.horizon" in names
    assert "seed" in names
    assert sorted(names) == sorted(leaves(Config()))


def leaves(group, prefix=""):
    """The dotted names of all values that are no groups."""
    for field in dataclasses.fields(group):
        value, name = getattr(group, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{name}.")
        else:
            yield name


def test_a_name_like_no_other_gets_the_whole_list():
    told = nested.unknown("zzz", ["train", "list"])
    assert told == "no option 'zzz'; there are train, list"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"value": "False"}, "option 'planner.value' must be bool, got 'False'"),
        ({"horizon": 2.5}, "option 'planner.horizon' must be int, got 2.5"),
        (
            {"decision_budget_ms": "no"},
            "option 'planner.decision_budget_ms' must be float or None, got 'no'",
        ),
        ({"beta": None}, "option 'planner.beta' must be float, got None"),
    ],
)
def test_a_value_of_another_type_is_told_in_plain_words(values, error):
    with pytest.raises(ValueError, match=f"^{error}$"):
        nested.from_values(PlannerConfig, values, "planner.")


def test_a_whole_number_is_a_number():
    made = nested.from_values(PlannerConfig, {"sigma": 1}, "planner.")
    assert (made.sigma, type(made.sigma)) == (1.0, float)
