"""
Remove what `make run` keeps: python -m sandbox.clean DIRECTORY

First whatever of it still runs is ended, known by its pid file. Standard library only: it must work when the
virtual environment does not.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from sandbox import children, home

# What stops the others first, then each with the signal that lets it write its data.
SIGNALS = {"supervisor": signal.SIGTERM, "postgres": signal.SIGINT, "beam": signal.SIGTERM}
GRACE_SECONDS = 30  # a supervisor needs up to 10 s for its processes, then stops the servers


def main() -> None:
    directory = Path(sys.argv[1])
    if directory.is_dir():
        end_processes(directory)
        remove(directory)


def end_processes(directory: Path) -> None:
    """End the processes whose pid files are in the directory and those of its servers."""
    pid_files = [*directory.glob("*.pid"), *directory.glob("*/*.pid")]
    pid_files.sort(key=lambda path: path.stem != "supervisor")
    for pid_file in pid_files:
        if process := children.recall(pid_file):
            how = SIGNALS.get(pid_file.stem, signal.SIGTERM)
            children.end(process, how, grace_seconds=GRACE_SECONDS)


def remove(directory: Path) -> None:
    """Remove the directory, and the data that its servers keep elsewhere."""
    for server in ("postgres", "rabbitmq"):
        volume = directory / server / "volume"
        if volume.exists():
            subprocess.run(["docker", "volume", "rm", "--force", volume.read_text()], check=True)  # noqa: S603, S607
        home.discard(directory / server)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
