"""Run the notebooks of ``docs/examples`` and keep what they show.

python docs/notebooks.py
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).with_name("examples")


def executed(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a new run, in a folder of its own."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.get("metadata", {}).pop("execution", None)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            book,
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    return book


if __name__ == "__main__":
    for notebook in sorted(EXAMPLES.glob("*.ipynb")):
        nbformat.write(executed(notebook), notebook)
