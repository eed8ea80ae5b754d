"""What the processes of a stack hold in memory."""

import resource
from pathlib import Path

from tests.stack.stacks import Running


def resident_megabytes(stack: Running) -> dict[str, int]:
    """By the process's name."""
    return {
        name: int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize() >> 20
        for name, process in stack.processes.items()
    }
