"""The digests that presented secrets are compared with, and the list of secrets."""

from alembic import op

revision = "secrets_0001"
down_revision = None
branch_labels = ("secrets",)
depends_on = "kernel_0001"

TABLES = """
CREATE TABLE digests (
    secret_id text PRIMARY KEY,
    pepper_id text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    hint text NOT NULL,
    last_used_at timestamptz
) WITH (fillfactor = 70);
CREATE TABLE secrets (
    org_id text NOT NULL,
    secret_id text NOT NULL UNIQUE,
    made_by text NOT NULL,
    scopes jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (org_id, secret_id)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
