# ruff: noqa: S603, S607 - this module finds and runs programs of this machine
"""
The programs of PostgreSQL and RabbitMQ on this machine: found, else installed where that is allowed, else replaced
by containers, else named in one line.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Backend = Literal["local", "docker"]

PACKAGES = {"PostgreSQL": "postgresql", "RabbitMQ": "rabbitmq-server"}
SERVICES = {"PostgreSQL": ["postgresql"], "RabbitMQ": ["rabbitmq-server", "epmd.service", "epmd.socket"]}
POLICY = Path("/usr/sbin/policy-rc.d")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.d/chatness.conf")


class Missing(Exception):
    """A program is not here and may not be installed; the text says in one line what to do. Exit with 78."""


@dataclass(frozen=True)
class Rabbitmq:
    server: Path
    ctl: Path
    epmd: Path


def ensure(forced: str | None = None) -> Backend:
    """
    Where servers can come from: `local` once both are installed, else `docker`.

    :param forced: one of the two, by default what CHATNESS_BACKEND says; then nothing else is tried
    :raises Missing: if there is neither
    """
    forced = forced or os.environ.get("CHATNESS_BACKEND")
    if forced not in (None, "", "local", "docker"):
        raise Missing(f"CHATNESS_BACKEND is {forced!r}: it must be local or docker")
    if forced != "docker":
        if missing() and _may_install():
            _install()
        if not missing():
            return "local"
    if forced != "local" and _docker_answers():
        return "docker"
    raise Missing(_advice(forced))


def missing() -> list[str]:
    """Which of the two this machine lacks."""
    found = {"PostgreSQL": postgres(), "RabbitMQ": rabbitmq()}
    return [name for name, programs in found.items() if programs is None]


def postgres(version: str | None = None) -> Path | None:
    """The folder of `initdb` and `postgres`: the newest there is, or that of a major version."""
    for folder in _postgres_folders():
        if all((folder / name).exists() for name in ("initdb", "postgres")) and version in (None, _major(folder)):
            return folder
    return None


def _postgres_folders() -> list[Path]:
    patterns = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
    folders = [folder for pattern in patterns for folder in Path("/").glob(pattern)]
    folders.sort(key=lambda folder: int("0" + re.sub(r"\D", "", folder.parent.name)), reverse=True)
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    if config := shutil.which("pg_config"):
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(answer.stdout.strip()))
    return folders


def _major(folder: Path) -> str:
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+", answer.stdout)
    return number[0] if number else ""


def rabbitmq() -> Rabbitmq | None:
    """
    RabbitMQ's own scripts. Debian's of the same names in /usr/sbin only run as root or the user rabbitmq, on
    the system's node; the real ones are known by the `rabbitmq-env` beside them.
    """
    epmd = _epmd()
    places = [Path("/usr/lib/rabbitmq/bin"), *Path("/").glob("usr/lib/rabbitmq/lib/*/sbin")]
    if on_path := shutil.which("rabbitmq-server"):
        places.append(Path(on_path).resolve().parent)
    for folder in places:
        if epmd and all((folder / name).exists() for name in ("rabbitmq-env", "rabbitmq-server", "rabbitmqctl")):
            return Rabbitmq(folder / "rabbitmq-server", folder / "rabbitmqctl", epmd)
    return None


def _epmd() -> Path | None:
    erl = shutil.which("erl")
    if erl is None:
        return None
    beside = Path(erl).resolve().parent
    found = [shutil.which("epmd"), *beside.glob("epmd"), *beside.parent.glob("erts-*/bin/epmd")]
    return next((Path(path) for path in found if path), None)


def _advice(forced: str | None) -> str:
    if forced == "docker":
        return "CHATNESS_BACKEND is docker, but no Docker engine answers: start one"
    names = missing()
    packages = " ".join(PACKAGES[name] for name in names)
    return (
        f"{' and '.join(names)} not found: install them (Debian, Ubuntu: sudo apt-get install {packages}), "
        "or start a Docker engine"
    )


def _docker_answers() -> bool:
    from sandbox import docker

    return docker.answers()


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install() -> None:
    """Install what is missing as packages, without starting a server of the system, now or at the next boot."""
    with open("/run/chatness-install.lock", "w") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another stack may be starting at the same time
        names = missing()
        if not names:
            return
        packages = [PACKAGES[name] for name in names]
        sys.stderr.write(f"installing {' '.join(packages)} (not as services)\n")
        stack.enter_context(_file(POLICY, "#!/bin/sh\nexit 101\n"))
        stack.enter_context(_file(CREATE_CLUSTER, "create_main_cluster = false\n"))
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)
        if shutil.which("systemctl"):
            services = [service for name in names for service in SERVICES[name]]
            subprocess.run(["systemctl", "disable", *services], capture_output=True, check=False)


@contextlib.contextmanager
def _file(path: Path, text: str) -> Iterator[None]:
    """A file of the system with our text for a while, then as it was."""
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def _apt_get(*arguments: str) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Missing(f"{' '.join(command)} failed: {' '.join(reason)}")
