"""Links with which a forgotten password is set anew."""

from alembic import op

revision = "accounts_0002"
down_revision = "accounts_0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE password_resets (
    id text PRIMARY KEY,
    account_id text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_password_resets_account_id ON password_resets (account_id);
CREATE INDEX ix_password_resets_expires_at ON password_resets (expires_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
