"""Registrations, credentials and sessions; accounts, orgs and members as the events tell them."""

from alembic import op

revision = "accounts_0001"
down_revision = None
branch_labels = ("accounts",)
depends_on = "kernel_0001"

TABLES = """
CREATE TABLE registrations (
    id text PRIMARY KEY,
    email text NOT NULL,
    typed_email text NOT NULL,
    name text NOT NULL,
    org_name text NOT NULL,
    password_hash text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    account_id text,
    org_id text
);
CREATE INDEX ix_registrations_email ON registrations (email);
CREATE INDEX ix_registrations_expires_at ON registrations (expires_at);
CREATE TABLE credentials (
    account_id text PRIMARY KEY,
    email text NOT NULL UNIQUE,
    typed_email text NOT NULL,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE TABLE sessions (
    id text PRIMARY KEY,
    account_id text NOT NULL,
    org_id text NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ix_sessions_account_id ON sessions (account_id);
CREATE TABLE accounts (
    account_id text PRIMARY KEY,
    profile_version bigint NOT NULL,
    registered_at timestamptz NOT NULL
);
CREATE TABLE orgs (
    org_id text PRIMARY KEY,
    owner_id text NOT NULL,
    profile_version bigint NOT NULL,
    founded_at timestamptz NOT NULL
);
CREATE TABLE members (
    org_id text NOT NULL,
    account_id text NOT NULL,
    role text NOT NULL,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, account_id)
);
CREATE INDEX ix_members_account_id ON members (account_id);
"""


def upgrade() -> None:
    op.execute(TABLES)
