"""What real kernels did with memory scripts, against what the model does."""

import pytest
from fidelity import PARALLEL, QUANTA, differing
from records import HERE, KERNELS, differences, known, names


def case(kernel, name):
    """Return a case as a parameter: one that differs must differ."""
    reason = known()[kernel].get(name)
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(kernel, name, marks=marks, id=f"{kernel}-{name}")


@pytest.mark.parametrize(
    ("kernel", "name"),
    [case(kernel, name) for kernel in KERNELS for name in names(kernel)],
)
def test_linux_did_the_same(kernel, name):
    """One script: every recorded observation, line by line."""
    assert differences(kernel, name) == []


@pytest.mark.parametrize("name", names(QUANTA))
def test_quanta_and_threads_differ_only_as_listed(name):
    """The same in quanta, by two threads: what differs has a rule that is named."""
    assert differing(name) <= PARALLEL.keys()


def test_every_kernel_has_cases():
    """Every recorded kernel is played, and each of its scripts has a record."""
    assert {path.name for path in HERE.glob("linux-*")} == set(KERNELS)
    for kernel in KERNELS:
        found = {path.stem for path in (HERE / kernel).glob("*.json")}
        assert found == set(names(kernel)) and found


def test_known_differences_are_of_cases():
    """None is listed that is not there, and each has a reason."""
    for kernel, found in known().items():
        assert found.keys() <= set(names(kernel))
        assert all(found.values())
