"""Write docs/fidelity.md: where the model does what Linux did, and where it does not.

    python tests/linux/fidelity.py

plays every case in the script's order, those of 6.1 also in quanta by two threads, and
counts.
"""

from collections import Counter
from pathlib import Path
from textwrap import fill

from records import KERNELS, compare, differences, known, names, recorded

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
    "huge pages of shared mappings; MADV_COLLAPSE of them is refused",
    "memcg, cpusets, KSM, userfaultfd, mremap, mlock",
    "mTHP (scripts that set it are refused by name), 64 KiB and 1 GiB pages, pageblock"
    " types, free blocks of orders 1 to 8",
    "where tasks start and wake; the load balancer and time-sharing are off by default",
    "the OOM reaper's delay: killing takes no time",
)


def family(name):
    """Return the family of a case by its name."""
    if name.startswith(("basic", "hand", "min")):
        return name.split("-")[0]
    return name.removeprefix("fuzz-").removeprefix("oracle-").rsplit("-", 1)[0]


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
    known = [compare.place(want or got) for want, got in differences(QUANTA, name)]
    found = differences(QUANTA, name, threads=2)
    return {
        rule(want, got)
        for want, got in found
        if compare.place(want or got) not in known
    }


def tallied(kernel):
    """Return {family: cases, observations, equal, and equal in quanta} of a kernel."""
    rows = {}
    for name in names(kernel):
        found = differences(kernel, name)
        total = len(recorded(kernel, name)["expect"])
        total += sum(want is None for want, _ in found)
        counts = Counter(cases=1, observations=total, equal=total - len(found))
        if kernel == QUANTA:
            counts["quanta"] = total - len(differences(kernel, name, threads=2))
        rows[family(name)] = rows.get(family(name), Counter()) + counts
    return rows


def parallel():
    """Return {rule by which quanta differ: names of the cases}."""
    found = {name: differing(name) for name in names(QUANTA)}
    return {
        rule: [name for name, rules in found.items() if rule in rules]
        for rule in PARALLEL
    }


def _filled(text):
    """Return a paragraph, in lines that are not too long."""
    return fill(text, 108, break_on_hyphens=False)


def _item(text):
    """Return an item of a list, in lines that are not too long."""
    return fill(f"* {text}.", 108, subsequent_indent="  ", break_on_hyphens=False)


def _cells(counts, kernel):
    """Return the cells of a kernel in a row: how many of how many are equal."""
    if not counts:
        return [""] * (1 + (kernel == QUANTA))
    shown = ("equal", "quanta") if kernel == QUANTA else ("equal",)
    return [f"{counts[one]} of {counts['observations']}" for one in shown]


def _table(rows):
    """Yield the lines of the table: a family a row, a kernel a column."""
    heads = []
    for kernel in KERNELS:
        heads += [kernel, "in quanta"] if kernel == QUANTA else [kernel]
    yield f"| family | {' | '.join(heads)} |"
    yield "|---" * (1 + len(heads)) + "|"
    for name in sorted({name for found in rows.values() for name in found}):
        cells = [_cells(rows[kernel].get(name), kernel) for kernel in KERNELS]
        yield f"| {' | '.join([name, *sum(cells, [])])} |"
    everything = {kernel: sum(rows[kernel].values(), Counter()) for kernel in KERNELS}
    cells = [_cells(everything[kernel], kernel) for kernel in KERNELS]
    yield f"| {' | '.join(f'**{cell}**' for cell in ['all', *sum(cells, [])])} |"
    count = [str(everything[kernel]["cases"]) for kernel in KERNELS]
    yield f"| scripts | {count[0]} | {' | '.join(count)} |"


def _differing():
    """Yield the lines about cases that differ, one of each reason."""
    for kernel in KERNELS:
        reasons = {}
        for name, reason in known()[kernel].items():
            reasons.setdefault(reason, []).append(f"`{name}`")
        if reasons:
            yield from ["", f"On {kernel}:", ""]
        for reason, where in reasons.items():
            yield _item(f"{', '.join(where)}: {reason}")


def page():
    """Return the text of docs/fidelity.md."""
    rows = {kernel: tallied(kernel) for kernel in KERNELS}
    lines = [
        "# Fidelity",
        "",
        _filled(
            "How often does the model do what Linux did? Memory scripts were played on"
            " machines of 2 to 4 nodes, under five kernels, and on the model under the"
            " profile of each. The cases are in `tests/linux`, in a folder for each"
            " kernel, and each is a test. `python tests/linux/fidelity.py` writes this"
            " page; [kernels](kernels.md) says in what the kernels themselves differ."
        ),
        "",
        _filled(
            "A cell says how many observations are equal in all they say, and how many"
            " there are; accesses are served in the script's order. A call that fails"
            " in the model alone, and a process that is killed there alone, are"
            " observations that differ. *In quanta*: the same in 64 shards, by two"
            " threads."
        ),
        "",
        *_table(rows),
        "",
        _filled(
            "Families are random scripts of one kind, but three: *basic* and *hand*"
            " were written by hand, *min* are the smallest scripts of rules that were"
            " missing."
        ),
        "",
        "## What differs",
        *_differing(),
    ]
    lines += ["", "## What differs in quanta", ""]
    for one, where in parallel().items():
        lines.append(_item(f"{one}: {PARALLEL[one]} ({', '.join(where) or 'no case'})"))
    lines += ["", "## What is not modelled", ""]
    return "\n".join([*lines, *map(_item, MISSING), ""])


if __name__ == "__main__":
    PAGE.write_text(page())
