"""What the league prints: matrices of policies by workloads, and published orders."""

from collections.abc import Callable, Sequence
from math import exp, isnan, log

from ...engine.study.figures import count, percent, seconds
from ...engine.study.study import Study
from ..common.table import Row, blocks, filled
from ..common.table import aligned as lines_of
from .published_orders import ORDERS, WHY, Order

#: Times that differ by less are equal.
SAME = 0.005

Cells = dict[tuple[str, str, str], Row]


def report(study: Study, rows: list[Row], small: Sequence[str] = ()) -> str:
    """Return the verdict, a matrix of each machine, all policies, and the orders.

    small  lines that say why nothing is held against published orders, if it is not
    """
    cells = by_names(rows)
    parts = [filled(study.question), filled(verdict(study, rows, small))]
    for machine in values(rows, "machine"):
        parts += [
            f"{machine}: time against {base_of(rows)}\n{_matrix(rows, machine, _time)}",
            f"{machine}: lines from the fastest tier\n{_matrix(rows, machine, _fast)}",
        ]
    orders = "\n".join(small) or _orders(cells)
    parts += [f"All workloads and machines:\n{_policies(rows)}", orders]
    return "\n\n".join(part for part in parts if part)


def by_names(rows: Sequence[Row]) -> Cells:
    """Return the rows by (workload, machine, policy)."""
    return {(row["workload"], row["machine"], row["policy"]): row for row in rows}


def values(rows: Sequence[Row], name: str) -> list[str]:
    """Return the values of a dimension, in order."""
    return list(dict.fromkeys(str(row[name]) for row in rows))


def base_of(rows: Sequence[Row]) -> str:
    """Return the policy that the others are held against: the first of the rows."""
    policies = values(rows, "policy")
    return "none" if "none" in policies else policies[0]


# --- matrices -------------------------------------------------------------------------


def _matrix(rows: Sequence[Row], machine: str, cell: Callable[[Row, Row], str]) -> str:
    """Return a line for each policy, and a column for each workload."""
    cells, base = by_names(rows), base_of(rows)
    policies = values(rows, "policy")
    columns = [("policy", policies)]
    for workload in values(rows, "workload"):
        of = cells[workload, machine, base]
        texts = [cell(cells[workload, machine, one], of) for one in policies]
        columns.append((workload, texts))
    return blocks(columns)


def _time(row: Row, base: Row) -> str:
    if isnan(row["run_time_ns"]):
        return "killed"
    if row is base or isnan(base["run_time_ns"]):
        return seconds(row["run_time_ns"])
    return f"x{_ratio(row, base):.2f}"


def _fast(row: Row, _base: Row) -> str:
    return percent(float(row["fast_share"]))


def _ratio(row: Row, base: Row) -> float:
    return float(row["run_time_ns"] / base["run_time_ns"])


def means(rows: Sequence[Row]) -> dict[str, float]:
    """Return the geometric mean of each policy's times against those of the base."""
    cells, base = by_names(rows), base_of(rows)
    logs: dict[str, list[float]] = {}
    for (workload, machine, policy), row in cells.items():
        of = cells[workload, machine, base]
        some = logs.setdefault(policy, [])
        if not isnan(_ratio(row, of)):
            some.append(log(_ratio(row, of)))
    return {
        policy: exp(sum(some) / len(some)) if some else float("nan")
        for policy, some in logs.items()
    }


def wins(rows: Sequence[Row]) -> dict[str, int]:
    """Return on how many workloads and machines each policy is fastest, or equal."""
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        if isnan(row["run_time_ns"]):
            continue
        at = row["workload"], row["machine"]
        best[at] = min(row["run_time_ns"], best.get(at, row["run_time_ns"]))
    won = dict.fromkeys(values(rows, "policy"), 0)
    for row in rows:
        least = best.get((row["workload"], row["machine"]), 0.0)
        won[row["policy"]] += int(row["run_time_ns"] <= least * (1 + SAME))
    return won


def _policies(rows: Sequence[Row]) -> str:
    """Return a line for each policy: its mean, and what it moved."""
    mean, won = means(rows), wins(rows)
    policies = list(mean)
    of = {one: [row for row in rows if row["policy"] == one] for one in policies}

    def summed(name: str) -> list[int]:
        return [sum(int(row[name]) for row in of[one]) for one in policies]

    moved = {
        "promoted": "pages_promoted",
        "demoted": "pages_demoted",
        "moved back": "pages_moved_back",
    }
    return blocks(
        [
            ("policy", policies),
            ("time", [f"x{mean[one]:.2f}" for one in policies]),
            ("fastest", [str(won[one]) for one in policies]),
            *((head, list(map(count, summed(one)))) for head, one in moved.items()),
            ("system", [seconds(time) for time in summed("system_time_ns")]),
        ]
    )


# --- published orders -----------------------------------------------------------------


def known(cells: Cells) -> list[tuple[Order, float]]:
    """Return the pairs that were run, and the time of the better over the worse."""
    found = []
    for order in ORDERS:
        at = order.workload, order.machine
        pair = [cells.get((*at, one)) for one in (order.better, order.worse)]
        if pair[0] is not None and pair[1] is not None:
            found.append((order, _ratio(pair[0], pair[1])))
    return found


def agreed(found: Sequence[tuple[Order, float]]) -> int:
    """Return how many pairs come out in the order that was published."""
    return sum(word(ratio) == "yes" for _, ratio in found)


def word(ratio: float) -> str:
    """Return whether an order comes out, from the time of the better over the worse."""
    if abs(ratio - 1) < SAME:
        return "equal"
    return "yes" if ratio < 1 else "no"


def _orders(cells: Cells) -> str:
    """Return the pairs, each with what came out here."""
    found = known(cells)
    if not found:
        return ""
    head = f"Published orders: {agreed(found)} of {len(found)} come out here as well."
    whys = [
        filled(f"{order.better}, {order.worse} on {order.workload}: {WHY[order[:3]]}")
        for order, ratio in found
        if word(ratio) != "yes" and order[:3] in WHY
    ]
    table = lines_of(
        [
            ("faster", [order.better for order, _ in found]),
            ("than", [order.worse for order, _ in found]),
            ("on", [order.workload for order, _ in found]),
            ("of", [order.machine for order, _ in found]),
            ("time here", [f"x{ratio:.2f}" for _, ratio in found]),
            ("agreed", [word(ratio) for _, ratio in found]),
        ]
    )
    return "\n".join([head, *table, *whys])


# --- a sentence -----------------------------------------------------------------------


def verdict(_study: Study, rows: list[Row], small: Sequence[str] = ()) -> str:
    """Say who is fastest on the whole, how often, and how many orders are right."""
    mean, won = means(rows), wins(rows)
    known_means = {one: value for one, value in mean.items() if not isnan(value)}
    if not known_means:
        return "No policy's work came to an end."
    best = min(known_means, key=lambda one: known_means[one])
    places = len({(row["workload"], row["machine"]) for row in rows})
    often = max(won, key=lambda one: won[one])
    text = (
        f"{best} takes least time in the mean, x{mean[best]:.2f} of {base_of(rows)};"
        f" {often} is fastest, or equal, most often: {won[often]} of {places} times"
    )
    found = [] if small else known(by_names(rows))
    if found:
        text += f"; {agreed(found)} of {len(found)} published orders come out"
    return f"{text}."
