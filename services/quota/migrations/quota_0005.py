"""What an org's activity shows. `chatness projections rebuild quota` fills in what happened before."""

from alembic import op

revision = "quota_0005"
down_revision = "quota_0004"
branch_labels = None
depends_on = None

# Each event has one row at most, which never changes: the place in the stream is its key.
TABLE = """
CREATE TABLE activity (
    source text NOT NULL,
    version bigint NOT NULL,
    event_id text NOT NULL,
    org_id text NOT NULL,
    at timestamptz NOT NULL,
    what text NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    session_id text NOT NULL,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    details jsonb NOT NULL,
    PRIMARY KEY (source, version)
);
CREATE INDEX activity_by_org ON activity (org_id, at, event_id);
"""


def upgrade() -> None:
    op.execute(TABLE)
