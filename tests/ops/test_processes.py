"""What every process of ours does when it begins."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.pure

LOOK = """
import ctypes
from ops import processes
processes.keep_to_ourselves()
PR_GET_DUMPABLE = 3
print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE))
"""


def test_lets_no_other_process_of_its_user_read_its_memory():
    seen = subprocess.run([sys.executable, "-W", "ignore", "-c", LOOK], capture_output=True, text=True, check=True)

    assert seen.stdout == "0\n"
