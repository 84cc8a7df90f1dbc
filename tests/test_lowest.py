"""Dependencies have a lower and an upper bound, in a form that `make test-lowest` can read."""

import pytest

from tests import lowest


@pytest.mark.parametrize("requirement", [*lowest.dependencies(), *lowest.extras()])
def test_every_dependency_has_a_lower_and_an_upper_bound(requirement):
    _, low, high = lowest.bounds(requirement)
    assert [int(part) for part in low.split(".")] < [int(part) for part in high.split(".")]


@pytest.mark.parametrize("requirement", ["numpy", "numpy>=2", "numpy<3"])
def test_a_dependency_without_bounds_is_refused(requirement):
    with pytest.raises(ValueError, match=requirement):
        lowest.bounds(requirement)


def test_constraints_are_the_lowest_versions():
    name, low, _ = lowest.bounds(lowest.dependencies()[0])
    assert lowest.constraints()[name] == low


def test_versions_are_compared_as_numbers():
    assert lowest.same("3.13.0", "3.13")
    assert not lowest.same("3.13.1", "3.13")
    assert not lowest.same("3.1", "3.10")
