"""What operations need at night: who is at work, what was skipped and why, and jobs that nobody is to do any more."""

from alembic import op

revision = "kernel_0002"
down_revision = "kernel_0001"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE parked ADD COLUMN unreadable boolean NOT NULL DEFAULT false;
CREATE TABLE discarded (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    producer text NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    event_id text NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    discarded_at timestamptz NOT NULL
);
CREATE TABLE processes (
    id text PRIMARY KEY,
    role text NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    release text NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    machine_at timestamptz NOT NULL,
    away jsonb NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check
    CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled'));
"""


def upgrade() -> None:
    op.execute(TABLES)
