"""Published figures and ours, side by side on the screen, with the error of each."""

from collections.abc import Sequence

from .claim import Claim
from .table import aligned, filled


def claim_table(claims: Sequence[Claim], source: str) -> str:
    """Return the table, and who published the figures; empty without claims."""
    if not claims:
        return ""
    lines = aligned(
        [
            ("figure", [claim.what for claim in claims]),
            ("published", [claim.published for claim in claims]),
            ("here", [claim.text(claim.ours) for claim in claims]),
            ("error", [_error(claim) for claim in claims]),
        ]
    )
    return "\n".join([*lines, "", filled(f"Published: {source}.")])


def _error(claim: Claim) -> str:
    """Return how far ours is from the nearest figure that was published."""
    nearest = min(max(claim.ours, claim.low), claim.high)
    return f"{claim.ours / nearest - 1:+.1%}"
