"""Orgs that operators have suspended."""

from alembic import op

revision = "kernel_0005"
down_revision = "kernel_0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE suspended (
    org_id text PRIMARY KEY,
    cause text NOT NULL,
    suspended_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    op.execute(TABLE)
