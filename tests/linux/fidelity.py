"""Write docs/fidelity.md: where the model does what Linux did, and where it does not.

    python tests/linux/fidelity.py

plays every case in the script's order and in quanta by two threads, and counts.
"""

from collections import Counter
from pathlib import Path
from textwrap import fill

from records import compare, differences, known, names, recorded

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
#: The kernel whose cases are also played in quanta.
QUANTA = "linux-6.1"
#: What may differ in quanta and by several threads, and why.
PARALLEL = {
    "fill order": "shards take frames from allotments of the quantum's start, so the"
    " last pages before a node's watermark come from the next node's share",
    "batches": "a shard cannot tell which new pages wait in its CPU's batch, and NUMA"
    " balancing leaves these alone",
}
#: Pages that a CPU's batch holds before it is full.
BATCH = 15
#: What Linux has and the model does not have.
MISSING = (
    "files and tmpfs; the kernel's own memory, except a fixed share of each node",
    "huge pages and NUMA balancing of shared mappings; MADV_COLLAPSE of them is"
    " refused",
    "memcg, cpusets, KSM, userfaultfd, mremap, mlock",
    "mTHP, 64 KiB and 1 GiB pages, pageblock types, free blocks of orders 1 to 8",
    "time-sharing of a CPU, and the load balancer",
    "the OOM reaper's delay: killing takes no time",
)


def family(name):
    """Return the family of a case by its name."""
    if name.startswith("basic"):
        return "basic"
    return name.removeprefix("fuzz-").rsplit("-", 1)[0]


def pages(observation):
    """Return (state, node, huge) of every page that was observed."""
    return [page for count, *page in observation["runs"] for _ in range(count)]


def waiting(want, got):
    """Tell whether observations differ in no more small pages than a batch holds."""
    if not want or not got or "runs" not in want or "fill_order" in want:
        return False
    pairs = zip(pages(want), pages(got), strict=True)
    differ = [one for one, other in pairs if one != other]
    sizes = all(want[key] == got[key] for key in want if key != "runs")
    return sizes and len(differ) < BATCH and not any(huge for *_, huge in differ)


def rule(want, got):
    """Return what kind of difference two records are."""
    if want and "fill_order" in want:
        return "fill order"
    return "batches" if waiting(want, got) else compare.kind(want or got)


def differing(name):
    """Return the rules by which quanta and threads differ from the script's order."""
    known = [(want or got)["line"] for want, got in differences(QUANTA, name)]
    found = differences(QUANTA, name, threads=2)
    return {
        rule(want, got) for want, got in found if (want or got)["line"] not in known
    }


def tallied():
    """Return ({family: (cases, observations, equal, equal in quanta)}, parallel)."""
    rows, parallel = {}, {}
    for name in names(QUANTA):
        total = len(recorded(QUANTA, name)["expect"])
        rules = differing(name)
        if rules:
            parallel[name] = rules
        counts = Counter(
            cases=1,
            observations=total,
            equal=total - len(differences(QUANTA, name)),
            quanta=total - len(differences(QUANTA, name, threads=2)),
        )
        rows[family(name)] = rows.get(family(name), Counter()) + counts
    return rows, parallel


def _item(text):
    """Return an item of a list, in lines that are not too long."""
    return fill(f"* {text}.", 108, subsequent_indent="  ", break_on_hyphens=False)


def page():
    """Return the text of docs/fidelity.md."""
    rows, parallel = tallied()
    columns = ("cases", "observations", "equal", "quanta")
    lines = [
        "# Fidelity",
        "",
        "How often does the model do what Linux 6.1 did? Memory scripts were played on",
        "machines of 2 to 4 nodes, and on the model under the profile `linux-6.1`. The",
        "cases are in `tests/linux/linux-6.1`, and each is a test.",
        "`python tests/linux/fidelity.py` writes this page.",
        "",
        "*Equal*: observations that are equal in all they say, if accesses are served",
        "in the script's order. *In quanta*: the same in 64 shards, by two threads.",
        "",
        "| family | cases | observations | equal | in quanta |",
        "|---|---|---|---|---|",
    ]
    for name, counts in sorted(rows.items()):
        cells = (str(counts[column]) for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    total = sum(rows.values(), Counter())
    cells = (f"**{total[column]}**" for column in columns)
    lines += [f"| **all** | {' | '.join(cells)} |", "", "## What differs", ""]
    lines += [_item(f"`{name}`: {reason}") for name, reason in known()[QUANTA].items()]
    lines += ["", "## What differs in quanta", ""]
    for one, reason in PARALLEL.items():
        where = [name for name, rules in parallel.items() if one in rules]
        lines.append(_item(f"{one}: {reason} ({', '.join(where) or 'in no case'})"))
    lines += ["", "## What is not modelled", ""]
    return "\n".join([*lines, *map(_item, MISSING), ""])


if __name__ == "__main__":
    PAGE.write_text(page())
