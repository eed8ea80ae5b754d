"""Changes of addresses with their way back, and how often something was tried."""

from alembic import op

revision = "accounts_0004"
down_revision = "accounts_0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE email_changes (
    id text PRIMARY KEY,
    account_id text NOT NULL,
    session_id text NOT NULL,
    old_email text NOT NULL,
    old_typed text NOT NULL,
    new_email text NOT NULL,
    new_typed text NOT NULL,
    token_hash bytea UNIQUE,
    undo_hash bytea UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_email_changes_account_id ON email_changes (account_id);
CREATE INDEX ix_email_changes_expires_at ON email_changes (expires_at);
CREATE TABLE throttles (
    key bytea PRIMARY KEY,
    taken bigint NOT NULL,
    most bigint NOT NULL,
    ends_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ix_throttles_ends_at ON throttles (ends_at);
CREATE TABLE familiar_clients (
    key bytea PRIMARY KEY,
    ends_at timestamptz NOT NULL
);
CREATE INDEX ix_familiar_clients_ends_at ON familiar_clients (ends_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
