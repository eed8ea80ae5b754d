import pytest

from sandbox import binaries


class TestEnsure:
    def test_refuses_a_backend_that_it_does_not_know(self):
        with pytest.raises(binaries.Missing, match="must be local or docker"):
            binaries.ensure("podman")

    def test_says_so_when_docker_is_forced_and_no_engine_answers(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")

        with pytest.raises(binaries.Missing, match="no Docker engine answers"):
            binaries.ensure("docker")

    def test_takes_what_the_environment_forces(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("CHATNESS_BACKEND", "nothing")

        with pytest.raises(binaries.Missing, match="CHATNESS_BACKEND is 'nothing'"):
            binaries.ensure()


class TestPostgres:
    def test_finds_no_version_that_is_not_installed(self):
        assert binaries.postgres("8") is None
