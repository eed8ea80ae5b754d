import signal
import subprocess
import sys
from pathlib import Path

from sandbox import binaries, children, infrastructure

REPOSITORY = Path(__file__).parents[2]


def clean(directory: Path) -> None:
    """As `make clean` does, with a Python that has nothing installed."""
    command = [sys.executable, "-S", "-m", "sandbox.clean", directory]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=60)


def test_ends_the_servers_and_removes_their_data_wherever_they_are(backend: binaries.Backend, tmp_path: Path):
    run = tmp_path / "run"
    server = infrastructure.start_postgres(backend, run / "postgres")
    data = server.home.path

    clean(run)

    server.stop()
    assert not run.exists()
    assert not data.exists()


def test_does_nothing_where_there_is_nothing(tmp_path: Path):
    clean(tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_leaves_other_processes_alone(tmp_path: Path):
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "supervisor.pid").write_text(f"{bystander.pid}\nanother start\n")

    clean(tmp_path / "run")

    assert bystander.poll() is None
    bystander.send_signal(signal.SIGKILL)
    bystander.wait()
    assert children.find(bystander.pid) is None
