"""``lazynuma.run``: a scenario from Python or a notebook, as from a shell."""

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...kernels.jit.compiling import compiled
from ..common.toml_settings import as_typed
from ..common.typed import built, typed
from .compile_notice import CompileNotice
from .find import find_scenario
from .progress import Progress
from .rebuild import again, origin

if TYPE_CHECKING:
    from ...engine.study.study_rows import Rows


def run(
    scenario: str,
    settings: Mapping[str, Any] | None = None,
    /,
    *,
    seed: int = 1,
    seeds: int = 1,
    jobs: int = 1,
    threads: int | None = None,
    output: str | os.PathLike | None = None,
    force: bool = False,
    **more: Any,
) -> "Rows":
    """Run a scenario and return its rows: a list of dicts, in a notebook a table.

    scenario  its name, or the path of a file
    settings  what ``--set`` would set, by names such as ``thp.enabled``; those without
              a dot may stand as arguments: ``run("mechanisms", memory="8GiB")``
    seeds     how many seeds each variant runs with, from ``seed`` on
    jobs      processes that run variants side by side
    threads   of each process; by default what this one may use, shared
    output    HDF5 file of the run; ``force`` lets it replace one

    Progress is a bar in a notebook and on a screen, otherwise a line now and then on
    stderr.  Raises what ``lazynuma.engine.run_study`` does; a run that is interrupted
    leaves a readable file.
    """
    from ...engine.run import run_study
    from ...engine.settings.costs import Costs
    from ...engine.settings.parameters import fill
    from ...engine.study.host_limits import threads_of_host

    module = find_scenario(scenario)
    wanted = as_typed(dict(settings or {}) | more)
    given = typed(module, wanted)
    study, drawn = built(module, given), range(seed, seed + seeds)
    tell, compiled.tell = compiled.tell, CompileNotice()
    try:
        with closing(Progress(study, _go_on, drawn, _bar_of_notebook())) as progress:
            return run_study(
                study,
                output=output,
                force=force,
                seed=drawn,
                threads=threads or threads_of_host(jobs),
                costs=fill(Costs, given.costs, "cost."),
                provenance={
                    "scenario": Path(str(module.__file__)).stem,
                    "parameters": given.as_json(),
                },
                progress=progress,
                jobs=jobs,
                make=partial(again, origin(module), wanted),
            )
    finally:
        compiled.tell = tell


def _go_on() -> None:
    """Let the run go on: Python raises KeyboardInterrupt by itself."""


def _bar_of_notebook() -> Callable[..., Any] | None:
    """Return the bar of a notebook that has widgets, None elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's advice to install widgets
        from tqdm.auto import tqdm
        from tqdm.notebook import tqdm_notebook
    return tqdm if issubclass(tqdm, tqdm_notebook) else None
