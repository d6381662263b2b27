"""What a real Linux 6.1 did with memory scripts, against what the model does."""

import pytest
from fidelity import DIFFERENT, PARALLEL, differing
from records import differences, names

XFAIL = {
    name: pytest.mark.xfail(reason=reason, strict=True)
    for name, reason in DIFFERENT.items()
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=XFAIL.get(name, ())) for name in names()]
)
def test_linux_did_the_same(name):
    """One script: every recorded observation, line by line."""
    assert differences(name) == []


@pytest.mark.parametrize("name", names())
def test_quanta_and_threads_differ_only_as_listed(name):
    """The same in quanta, by two threads: what differs has a rule that is named."""
    assert differing(name) <= PARALLEL.keys()
