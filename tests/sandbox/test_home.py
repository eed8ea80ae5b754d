import shutil
import socket
from pathlib import Path

import pytest

from sandbox import children, home


class TestOpen:
    def test_refuses_a_directory_that_another_holds(self, tmp_path: Path):
        first = home.Home(tmp_path / "server")
        first.open()

        with pytest.raises(home.Unusable, match="in use by another process"):
            home.Home(tmp_path / "server").open()

        first.close()
        home.Home(tmp_path / "server").open()

    def test_makes_a_directory_that_only_the_server_reads(self, tmp_path: Path):
        server_home = home.Home(tmp_path / "server", account=home.unprivileged_account())
        server_home.open()

        assert server_home.path.stat().st_mode & 0o777 == 0o700
        home.discard(tmp_path / "server")
        assert not server_home.path.exists()

    def test_does_not_share_its_data_with_a_copy_of_the_folder(self, tmp_path: Path):
        original = home.Home(tmp_path / "clone" / "server", account=home.unprivileged_account())
        original.open()

        shutil.copytree(tmp_path / "clone", tmp_path / "copy", symlinks=True)
        copy = home.Home(tmp_path / "copy" / "server", account=home.unprivileged_account())
        copy.open()

        assert copy.path != original.path
        home.discard(tmp_path / "clone" / "server")
        home.discard(tmp_path / "copy" / "server")


class TestSecret:
    def test_stays_the_same_for_the_directory(self, tmp_path: Path):
        before = home.Home(tmp_path).secret("password")

        assert home.Home(tmp_path).secret("password") == before
        assert home.Home(tmp_path).secret("cookie") != before

    def test_is_readable_by_nobody_else(self, tmp_path: Path):
        home.Home(tmp_path).secret("password")

        assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


class TestLaunch:
    def test_tries_again_when_somebody_was_faster_with_a_port(self, tmp_path: Path):
        taken = []

        def run(chosen: dict[str, int]) -> None:
            if not taken:
                taken.append(socket.create_server(("127.0.0.1", chosen["server"])))
                raise children.Died("address in use")

        ports = home.Home(tmp_path).launch(("server",), run)

        with taken[0]:
            assert ports["server"] != taken[0].getsockname()[1]

    def test_starts_nothing_beside_a_server_that_is_slow(self, tmp_path: Path):
        started = []

        def run(chosen: dict[str, int]) -> None:
            started.append(socket.create_server(("127.0.0.1", chosen["server"])))
            raise children.NotReady("recovery takes its time")

        with pytest.raises(children.NotReady):
            home.Home(tmp_path).launch(("server",), run)

        assert len(started) == 1
        started[0].close()
