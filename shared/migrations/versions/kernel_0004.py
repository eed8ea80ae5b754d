"""Streams whose events are kept in a file instead, and rows of state that operations set to what the events say."""

from alembic import op

revision = "kernel_0004"
down_revision = "kernel_0003"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE streams ADD COLUMN archived_at timestamptz;
CREATE TABLE archives (
    stream text PRIMARY KEY,
    file text NOT NULL,
    sha256 bytea NOT NULL,
    actor text NOT NULL,
    archived_at timestamptz NOT NULL
);
CREATE TABLE repairs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation text NOT NULL,
    key text NOT NULL,
    stored jsonb NOT NULL,
    folded jsonb NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    repaired_at timestamptz NOT NULL
);
"""

# The first rule has a second exception: a stream that stands in a file. It goes through `archive_stream`.
INSERT_ONLY = """
CREATE OR REPLACE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'events' THEN
        IF OLD.stream IN (current_setting('chatness.erasing', true), current_setting('chatness.archiving', true)) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is insert only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

# What is dropped must end where the file ends, and it is written down where that is, in the same transaction.
ARCHIVE_STREAM = """
CREATE FUNCTION archive_stream(gone text, last bigint, head bytea, kept_in text, kept_sum bytea, who text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    dropped bigint;
BEGIN
    PERFORM 1 FROM streams WHERE stream = gone AND version = last AND hash = head
        AND erased_at IS NULL AND archived_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stream % does not end so, or is erased or archived', gone
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT FROM log WHERE stream = gone) OR EXISTS (SELECT FROM outbox WHERE stream = gone) THEN
        RAISE EXCEPTION 'stream % has public events', gone USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('chatness.archiving', gone, true);
    DELETE FROM events WHERE stream = gone;
    GET DIAGNOSTICS dropped = ROW_COUNT;
    PERFORM set_config('chatness.archiving', '', true);
    IF dropped <> last THEN
        RAISE EXCEPTION 'stream % had % events and not %', gone, dropped, last USING ERRCODE = 'restrict_violation';
    END IF;
    DELETE FROM snapshots WHERE stream = gone;
    UPDATE streams SET archived_at = clock_timestamp() WHERE stream = gone;
    INSERT INTO archives (stream, file, sha256, actor, archived_at)
        VALUES (gone, kept_in, kept_sum, who, clock_timestamp());
    RETURN dropped;
END $$;
"""


def upgrade() -> None:
    for statement in (TABLES, INSERT_ONLY, ARCHIVE_STREAM):
        op.execute(statement)
