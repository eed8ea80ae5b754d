"""`chatness quota archive`: old months moved to files, proven there, told from there, and put back."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import exc, text

from ops import exits
from ops.quota import archive as archives
from services.quota import boundary, projections
from services.quota.events import CATALOGUE, MessageRefunded
from shared import errors, rebuilding, store, verification
from tests.ops.months import Months, asked, documents
from tests.quota.erasures import erasure, told

__all__ = ["erasure"]
FILES = ["org_1-2026-11.jsonl.gz", "org_1-2026-12.jsonl.gz"]
KILLED = "from shared import failpoints; failpoints.arm('archive.written', at=2); from ops import cli; cli.main()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "archive"
    made.mkdir()
    return made


@pytest.fixture
def old(months: Months) -> Months:
    """Three months of `org_1`, of which the ids of the first two are no longer remembered; and a silent org."""
    months.quota.subscribe(org_id="org_silent")
    months.send(*(f"msg_{number}" for number in range(10)))
    months.refund("msg_3")
    months.turn_to(2026, 12, 5)
    months.send("msg_10")
    months.turn_to(2027, 3, 1)
    months.send("msg_11", "msg_12")
    return months


def archive(folder: Path, *words: str) -> list[dict[str, object]]:
    done = asked("archive", "--before", "2027-01", "--to", str(folder), "--execute", "--json", *words)
    assert done.exit_code == exits.OK
    return [document for document in documents(done) if "archived" in document]


def whole(months: Months) -> verification.Report:
    report = verification.verify(months.quota.database, CATALOGUE)
    assert report.faults == {}
    return report


class TestArchive:
    def test_moves_old_months_to_files_that_are_whole_and_back(self, old, folder):
        everything = "SELECT * FROM events ORDER BY stream, version"
        before, told = old.rows(everything), asked("explain", "org_1", "--period", "2026-11").stdout

        archived = archive(folder, "--by", "Kim")

        assert [(one["file"], one["archived"]) for one in archived] == [(FILES[0], 13), (FILES[1], 2)]
        assert sorted(path.name for path in folder.iterdir()) == FILES
        assert old.rows("SELECT DISTINCT stream FROM events WHERE stream LIKE 'ledger-%' ORDER BY 1") == [
            ("ledger-org_1-2027-03",),
            ("ledger-org_silent-2026-11",),
        ]
        assert old.rows("SELECT file, actor FROM archives ORDER BY 1") == [(file, "Kim") for file in FILES]
        assert whole(old).archived == 2
        assert asked("check").exit_code == exits.OK
        assert asked("archive", "verify", str(folder)).exit_code == exits.OK
        assert archive(folder) == []
        assert old.quota.ask("get_usage")["used"] == 2

        refused = asked("explain", "org_1", "--period", "2026-11")
        assert (refused.exit_code, refused.stdout) == (exits.CONFLICT, "")
        assert f"in the file {FILES[0]}: name its folder with --archive DIR" in refused.stderr
        assert asked("explain", "org_1", "--period", "2026-11", "--archive", str(folder)).stdout == told
        counted = asked("explain", "org_1", "--message", "msg_3", "--archive", str(folder))
        assert (counted.exit_code, "message 4 of 2026-11" in counted.stdout) == (exits.OK, True)

        for period in ("2026-11", "2026-12"):
            words = ("archive", "restore", "org_1", "--period", period, "--from", str(folder), "--execute")
            assert asked(*words).exit_code == exits.OK
        assert asked(*words).exit_code == exits.CONFLICT
        assert old.rows(everything) == before
        assert whole(old).archived == 0

    def test_does_nothing_without_execute_and_keeps_what_is_remembered_or_open(self, old, folder):
        would = asked("archive", "--before", "2027-01", "--to", str(folder))
        too_new = asked("archive", "--before", "2027-02", "--to", str(folder), "--execute")
        nowhere = asked("archive", "--before", "2027-01", "--to", str(folder / "nowhere"), "--execute")

        assert would.stdout.splitlines() == [
            f"org_1 2026-11: would archive 13 events, {FILES[0]}",
            f"org_1 2026-12: would archive 2 events, {FILES[1]}",
            "org_silent 2026-11: left: it is the org's open month still: nobody has sent a message since",
        ]
        assert "message ids are remembered from 2027-01 on" in too_new.stderr
        assert (would.exit_code, too_new.exit_code, nowhere.exit_code) == (
            exits.OK,
            exits.CONFLICT,
            exits.NOT_FOUND,
        )
        assert list(folder.iterdir()) == []
        assert whole(old).archived == 0

    def test_goes_on_where_it_was_killed(self, old, folder):
        words = ("quota", "archive", "--before", "2027-01", "--to", str(folder), "--execute")
        killed = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, capture_output=True)
        assert killed.returncode == -9
        assert (whole(old).archived, sorted(path.name for path in folder.iterdir())) == (1, FILES)
        left = (folder / FILES[1]).stat().st_mtime_ns
        (folder / f".{FILES[1]}.part").write_bytes(b"half a ")  # as one that was killed while it wrote

        assert [one["file"] for one in archive(folder)] == [FILES[1]]

        assert (folder / FILES[1]).stat().st_mtime_ns == left
        assert whole(old).archived == 2
        assert asked("archive", "verify", str(folder)).exit_code == exits.OK


class TestVerify:
    def test_finds_files_that_are_missing_cut_or_of_an_erased_org(self, old, folder):
        archive(folder)
        packed = folder / FILES[0]
        packed.write_bytes(packed.read_bytes()[:-20])
        (folder / FILES[1]).rename(folder / "other.jsonl.gz")

        found = asked("archive", "verify", str(folder), "--json")

        assert (found.exit_code, [(one["file"], one["faulty"]) for one in documents(found)]) == (
            exits.FAILED,
            [(FILES[0], True), (FILES[1], True), ("other.jsonl.gz", False)],
        )
        words = ("archive", "restore", "org_1", "--period", "2026-11", "--from", str(folder), "--execute")
        refused = asked(*words)
        assert (refused.exit_code, "nothing was restored" in refused.stderr) == (exits.CONFLICT, True)
        assert whole(old).archived == 2


class TestForget:
    def test_deletes_the_files_of_an_erased_org_whose_erasure_is_told_only_then(self, old, folder, erasure):
        archive(folder)
        (folder / f".{FILES[1]}.part").write_bytes(b"half a ")
        (folder / "org_silent-2026-11.jsonl.gz").write_bytes(b"of another org")
        erasure.run("org_1")
        assert whole(old).archived == 0
        jobs = "SELECT state, last_error FROM jobs WHERE kind = 'quota.erase_org'"
        assert (told(old.quota.database), old.rows(jobs)) == ([], [("waiting", "FilesLeft")])
        found = asked("archive", "verify", str(folder), "--json")
        said = {one["file"]: one["text"] for one in documents(found) if one["faulty"]}
        assert (found.exit_code, said) == (exits.FAILED, dict.fromkeys(FILES, archives.ERASED))

        would = asked("archive", "forget", str(folder))
        assert (would.exit_code, would.stderr) == (exits.OK, f"{exits.NO_CHANGE}\n")
        assert len([*folder.iterdir()]) == 4
        (folder / FILES[0]).unlink()
        missing = asked("archive", "forget", str(folder), "--execute")
        assert (missing.exit_code, missing.stdout.splitlines()) == (
            exits.FAILED,
            [
                f"{FILES[0]}: not in {folder}; say --gone if it is nowhere",
                f"{FILES[1]}: forgotten",
                f".{FILES[1]}.part: forgotten",
            ],
        )
        erasure.finish()
        assert told(old.quota.database) == []
        done = asked("archive", "forget", str(folder), "--gone", "--execute", "--json")
        erasure.finish()

        assert (done.exit_code, [one["file"] for one in documents(done)]) == (exits.OK, [FILES[0]])
        assert [path.name for path in folder.iterdir()] == ["org_silent-2026-11.jsonl.gz"]
        assert told(old.quota.database) == ["org_1"]
        assert whole(old).archived == 0
        assert asked("archive", "verify", str(folder)).exit_code == exits.OK

    def test_knows_the_files_that_archiving_left_when_an_org_was_erased_meanwhile(self, old, folder, erasure):
        (folder / FILES[0]).write_bytes(b"written, and not dropped")
        erasure.run("org_1")

        verified = asked("archive", "verify", str(folder))
        done = asked("archive", "forget", str(folder), "--execute")

        assert (verified.exit_code, verified.stdout) == (exits.FAILED, f"{FILES[0]}: {archives.ERASED}\n")
        assert (done.exit_code, done.stdout) == (exits.OK, f"{FILES[0]}: forgotten\n")
        assert [*folder.iterdir()] == []

    def test_says_so_where_there_is_nothing(self, months, folder):
        said = {
            ("archive", "--before", "2026-06", "--to", str(folder)): "the table has no month before 2026-06",
            ("archive", "verify", str(folder)): f"no month is archived, and no file of one is in {folder}",
            ("archive", "forget", str(folder)): f"no erased org has an archived month, or a file in {folder}",
        }
        for words, line in said.items():
            done = asked(*words)

            assert (done.exit_code, done.stdout, done.stderr) == (exits.OK, "", f"{line}\n")

    def test_needs_a_folder(self, old, tmp_path):
        assert asked("archive", "forget", str(tmp_path / "none")).exit_code == exits.NOT_FOUND


class TestWhatIsArchived:
    def test_takes_nothing_more_and_goes_only_at_the_head_that_was_written(self, old, folder):
        archive(folder)
        home = old.quota.database
        late = MessageRefunded(message_id="msg_1", bot_id=old.bot_id, gives_back=False)

        with pytest.raises(store.Archived), home.begin() as session:
            boundary.append_late(session, "org_1", "2026-11", [late])
        with pytest.raises(exc.DBAPIError, match="does not end so"), home.begin() as session:
            session.execute(text("SELECT archive_stream('ledger-org_1-2027-03', 9, 'x', 'f', 's', 'Kim')"))
        with pytest.raises(exc.DBAPIError, match="insert only"), home.begin() as session:
            session.execute(text("DELETE FROM events"))


def test_leaves_an_archived_month_its_numbers_and_says_where_its_entries_are(old: Months, folder: Path) -> None:
    before = old.quota.ask("get_usage", period="2026-11")
    archive(folder)

    report = rebuilding.rebuild(old.quota.database, "quota", projections.READ_MODELS, limit=10)

    assert report.differences == []
    assert old.quota.ask("get_usage", period="2026-11") == before
    with pytest.raises(errors.Conflict) as refused:
        old.quota.ask("list_statement", period="2026-11")
    assert refused.value.code == "month_archived"
