"""Who wants to leave, who is being erased, and which service has told that it has nothing of them any more."""

from alembic import op

revision = "accounts_0003"
down_revision = "accounts_0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE deletions (
    account_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('requested', 'confirmed')),
    token_hash bytea NOT NULL UNIQUE,
    withdrawal_hash bytea UNIQUE,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    erases_at timestamptz
);
CREATE INDEX ix_deletions_erases_at ON deletions (erases_at);
CREATE TABLE erasures (
    account_id text PRIMARY KEY,
    begun_at timestamptz NOT NULL,
    farewell text NOT NULL
);
CREATE TABLE erasure_orgs (
    org_id text PRIMARY KEY,
    account_id text NOT NULL
);
CREATE INDEX ix_erasure_orgs_account_id ON erasure_orgs (account_id);
CREATE TABLE erasure_reports (
    org_id text NOT NULL,
    service text NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, service)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
