"""When a message was refunded."""

from alembic import op

revision = "quota_0002"
down_revision = "quota_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD COLUMN refunded_at timestamptz")
