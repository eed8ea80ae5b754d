"""The image is built from what the repository has, holds all of it, and runs as nobody in particular."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deployment import files

pytestmark = pytest.mark.pure

DOCKERFILE = files.ROOT / "Dockerfile"
PACKAGES = ("shared", "services", "ops", "sandbox")
INSTRUCTIONS = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]


def sources(instruction: str) -> list[str]:
    """What it copies from the repository."""
    if not instruction.startswith("COPY ") or "--from" in instruction:
        return []
    return instruction.split()[1:-1]


class TestTheDockerfile:
    def test_has_no_fault_that_hadolint_knows(self):
        checked = files.tool("hadolint", DOCKERFILE)

        assert (checked.returncode, checked.stdout) == (0, "")

    def test_would_be_refused_with_one(self, tmp_path: Path):
        broken = tmp_path / "Dockerfile"
        broken.write_text(DOCKERFILE.read_text().replace("3.11-slim-bookworm", "latest"))

        assert files.tool("hadolint", broken).returncode == 1

    def test_installs_only_what_has_the_hash_that_is_written_down(self):
        installs = [line for line in INSTRUCTIONS if "pip install" in line]

        assert [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line] == []
        assert len(installs) == 2

    def test_ends_as_a_user_without_rights(self):
        assert [line for line in INSTRUCTIONS if line.startswith("USER ")] == ["USER 10001:10001"]
        assert INSTRUCTIONS[-2:] == ['ENTRYPOINT ["chatness"]', 'CMD ["--help"]']

    def test_is_let_see_what_it_copies_and_nothing_else(self):
        ignored = (files.ROOT / ".dockerignore").read_text().splitlines()
        seen = {line[1:] for line in ignored if line.startswith("!")}

        assert "*" in ignored
        assert seen == {name for line in INSTRUCTIONS for name in sources(line)}


def test_what_is_installed_holds_every_file_of_the_packages(tmp_path: Path):
    """Elsewhere it is run from the clone: a file that packaging leaves out would be missed in the image only."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=files.ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in (*tracked, "pyproject.toml", "README.md"):
        copy = tmp_path / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((files.ROOT / name).read_bytes())

    subprocess.run([*pip, "--wheel-dir", tmp_path, tmp_path / "source"], check=True)

    (wheel,) = tmp_path.glob("chatness-*.whl")
    assert set(tracked) - set(zipfile.ZipFile(wheel).namelist()) == set()
