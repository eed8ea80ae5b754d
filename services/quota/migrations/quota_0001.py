"""The org's row, the messages by id, and the bots."""

from alembic import op

revision = "quota_0001"
down_revision = None
branch_labels = ("quota",)
depends_on = "kernel_0001"

TABLES = """
CREATE TABLE orgs (
    org_id text PRIMARY KEY,
    period text NOT NULL,
    plan text NOT NULL,
    message_limit bigint NOT NULL,
    bot_limit bigint NOT NULL,
    max_resets bigint NOT NULL,
    subscription_version bigint NOT NULL,
    generation bigint NOT NULL,
    used bigint NOT NULL,
    stopped boolean NOT NULL,
    ledger_version bigint NOT NULL,
    ledger_hash bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX orgs_at_their_limit ON orgs (period) WHERE stopped;
CREATE TABLE messages (
    org_id text NOT NULL,
    message_id text NOT NULL,
    bot_id text NOT NULL,
    period text NOT NULL,
    generation bigint NOT NULL,
    used bigint NOT NULL,
    message_limit bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, message_id)
);
CREATE TABLE bots (
    org_id text NOT NULL,
    bot_id text NOT NULL,
    reasons jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, bot_id)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
