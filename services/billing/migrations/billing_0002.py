"""Errands for all orgs together, and second subscriptions that were ended."""

from alembic import op

revision = "billing_0002"
down_revision = "billing_0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE errands (
    name text PRIMARY KEY,
    holder text NOT NULL,
    lease_until timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    position text NOT NULL,
    since timestamptz,
    newest timestamptz
);
CREATE TABLE duplicates (
    subscription_id text PRIMARY KEY,
    org_id text NOT NULL,
    plan text NOT NULL,
    refunded_cents bigint NOT NULL,
    currency text NOT NULL,
    ended_at timestamptz NOT NULL
);
CREATE INDEX duplicates_by_org ON duplicates (org_id, ended_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
