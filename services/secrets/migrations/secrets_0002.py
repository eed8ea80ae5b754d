"""What the value before a secret's newest is compared with, until its overlap ends; and why a secret was revoked."""

from alembic import op

revision = "secrets_0002"
down_revision = "secrets_0001"
branch_labels = None
depends_on = None

# A former value goes with its secret's digest. Secrets that expire are looked for by the minute.
TABLES = """
CREATE TABLE former_digests (
    secret_id text PRIMARY KEY REFERENCES digests ON DELETE CASCADE,
    pepper_id text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    hint text NOT NULL,
    works_until timestamptz NOT NULL
);
ALTER TABLE secrets ADD COLUMN rotated_at timestamptz;
ALTER TABLE secrets ADD COLUMN revoked_reason text;
ALTER TABLE secrets ADD COLUMN expiry_told_at timestamptz;
CREATE INDEX secrets_to_expire ON secrets (expires_at) WHERE revoked_at IS NULL AND expiry_told_at IS NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
