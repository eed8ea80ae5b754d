"""Who is invited into which org."""

from alembic import op

revision = "accounts_0005"
down_revision = "accounts_0004"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE invitations (
    id text PRIMARY KEY,
    org_id text NOT NULL,
    email text NOT NULL,
    typed_email text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'withdrawn', 'accepted')),
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_invitations_org_id ON invitations (org_id);
CREATE INDEX ix_invitations_email ON invitations (email);
CREATE INDEX ix_invitations_expires_at ON invitations (expires_at);
"""


def upgrade() -> None:
    op.execute(TABLE)
