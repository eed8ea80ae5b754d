"""Replays: who had what applied again and why, how far it came, and which discarded events were applied by one."""

from alembic import op

revision = "kernel_0003"
down_revision = "kernel_0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE replays (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    producer text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('missing', 'again')),
    selection bytea NOT NULL,
    events bigint NOT NULL,
    applied bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,
    actor text NOT NULL,
    reason text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz
);
ALTER TABLE discarded ADD COLUMN replay_id bigint;
"""


def upgrade() -> None:
    op.execute(TABLES)
