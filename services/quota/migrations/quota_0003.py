"""Credits, the threshold that was told, and a way to find old messages."""

from alembic import op

revision = "quota_0003"
down_revision = "quota_0002"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE orgs
    ADD COLUMN threshold bigint NOT NULL DEFAULT 0,
    ADD COLUMN credits jsonb NOT NULL DEFAULT '[]';
CREATE INDEX orgs_with_credits ON orgs (org_id) WHERE credits <> '[]';
ALTER TABLE messages
    ADD COLUMN credit_id text NOT NULL DEFAULT '',
    ADD COLUMN credits_remaining bigint NOT NULL DEFAULT 0;
-- Messages come in the order of time: a few pages of this find the old ones, and it costs the new ones nothing.
CREATE INDEX messages_by_time ON messages USING brin (recorded_at) WITH (autosummarize = on);
"""


def upgrade() -> None:
    op.execute(CHANGES)
