"""What operators looked up and did about people: who, when, and why."""

from alembic import op

revision = "accounts_0006"
down_revision = "accounts_0005"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE operator_acts (
    id text PRIMARY KEY,
    act text NOT NULL,
    account_id text NOT NULL,
    operator text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX ix_operator_acts_account_id ON operator_acts (account_id);
"""


def upgrade() -> None:
    op.execute(TABLE)
