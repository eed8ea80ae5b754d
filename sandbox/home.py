"""
The directory of one server: where it may keep its data, locked while we run it, with its secrets and ports.
Standard library only: `make clean` runs it without the virtual environment.
"""

import fcntl
import hashlib
import json
import os
import pwd
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from sandbox import children, ports

# Not TMPDIR, which may be private to root. Unlike /tmp it outlives a restart of the machine.
OUTSIDE = Path("/var/tmp")  # noqa: S108 - only for a directory that we own with mode 0700
LAUNCHES = 3


class Unusable(Exception):
    """A directory that cannot be a server's home; the text says which, and why."""


class Home:
    """
    The directory of one server, and whom it runs as.

    :param account: whom the server runs as, if not as we do
    """

    def __init__(self, directory: Path, *, account: pwd.struct_passwd | None = None) -> None:
        self.account = account
        self.path = directory.absolute()
        self._lock: int | None = None

    def open(self) -> None:
        """
        Make the directory, and hold it until `close` or the end of this process.

        :raises Unusable: if another process holds it, or it is somebody else's
        """
        self.path = _place(self.path, self.account)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Unusable(f"{self.path} is in use by another process") from None
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self, name: str) -> str:
        """A random text that stays the same for this directory. Its file is readable by the server."""
        path = self.path / name
        if not path.exists():
            self.write(path, secrets.token_hex(20))
        return path.read_text()

    def write(self, path: Path, text: str) -> Path:
        """Write a file that only the server and we can read."""
        draft = path.with_name(path.name + ".new")
        draft.touch(mode=0o600)
        draft.write_text(text)
        self.give(draft)
        return draft.replace(path)

    def give(self, path: Path) -> None:
        """Make the account the owner of a file or folder that we made for it."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def launch(self, names: tuple[str, ...], run: Callable[[dict[str, int]], None]) -> dict[str, int]:
        """
        Call `run` with a free port for each name, the former ones where possible. Again if it died because
        somebody was faster with one of them.

        :raises children.Died: as `run` does
        """
        record = self.path / "ports.json"
        former = json.loads(record.read_text()) if record.exists() else {}
        for attempt in range(1, LAUNCHES + 1):
            chosen = {name: ports.free(wanted=former.get(name)) for name in names}
            try:
                run(chosen)
            except children.Died as fault:
                slow = isinstance(fault, children.NotReady)
                if slow or attempt == LAUNCHES or all(map(ports.is_free, chosen.values())):
                    raise
            else:
                break
        self.write(record, json.dumps(chosen))
        return chosen


def unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run a program as that refuses root. None where we are not root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def discard(directory: Path) -> None:
    """Remove a server's directory, wherever its data are."""
    outside = _outside(directory.absolute())
    if outside.exists():
        shutil.rmtree(outside)
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)


def _place(directory: Path, account: pwd.struct_passwd | None) -> Path:
    """The directory itself, or where the account cannot reach it a symbolic link to one that it can."""
    if account is None or _reachable(directory, account):
        return _own(directory, account)
    outside = _own(_outside(directory), account)
    if directory.is_symlink():  # perhaps of another clone that this one was copied from
        directory.unlink()
    elif directory.exists():
        raise Unusable(f"{directory} is a folder that {account.pw_name} cannot reach: remove it (make clean)")
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.symlink_to(outside)
    return outside


def _outside(directory: Path) -> Path:
    return OUTSIDE / f"chatness-{hashlib.sha256(bytes(directory)).hexdigest()[:16]}"


def _own(directory: Path, account: pwd.struct_passwd | None) -> Path:
    owner = account.pw_uid if account else os.geteuid()
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True)
        if account:
            os.chown(directory, account.pw_uid, account.pw_gid)
    # In a folder where everybody may write, somebody else may have been first.
    if directory.is_symlink() or directory.lstat().st_uid != owner:
        raise Unusable(f"{directory} belongs to somebody else")
    return directory


def _reachable(directory: Path, account: pwd.struct_passwd) -> bool:
    folders = [folder.stat() for folder in directory.parents if folder.exists()]
    return all(
        folder.st_mode & 0o001 or (folder.st_uid == account.pw_uid and folder.st_mode & 0o100) for folder in folders
    )
