"""Customers with their lease, intents, checkouts, webhooks; and the subscription as it is shown."""

from alembic import op

revision = "billing_0001"
down_revision = None
branch_labels = ("billing",)
depends_on = "kernel_0001"

TABLES = """
CREATE TABLE customers (
    org_id text PRIMARY KEY,
    customer_id text UNIQUE,
    holder text NOT NULL,
    lease_until timestamptz NOT NULL,
    payment_url text NOT NULL
);
CREATE TABLE intents (
    id text PRIMARY KEY,
    org_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('change', 'withdraw')),
    plan text NOT NULL,
    at text NOT NULL CHECK (at IN ('now', 'period_end')),
    state text NOT NULL CHECK (state IN ('open', 'done', 'checkout', 'declined', 'given_up')),
    attempt bigint NOT NULL,
    code text NOT NULL,
    payment_url text NOT NULL,
    session_id text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX intents_to_finish ON intents (created_at) WHERE state = 'open';
CREATE TABLE checkouts (
    session_id text PRIMARY KEY,
    org_id text NOT NULL,
    plan text NOT NULL,
    url text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX checkouts_by_org ON checkouts (org_id);
CREATE TABLE webhooks (
    id text PRIMARY KEY,
    type text NOT NULL,
    object_id text NOT NULL,
    customer_id text NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX webhooks_by_age ON webhooks (received_at);
CREATE TABLE subscriptions (
    org_id text PRIMARY KEY,
    version bigint NOT NULL,
    plan text NOT NULL,
    status text NOT NULL,
    message_limit bigint NOT NULL,
    bot_limit bigint NOT NULL,
    period_start timestamptz,
    period_end timestamptz,
    scheduled_plan text NOT NULL,
    scheduled_at timestamptz,
    owed_plan text NOT NULL,
    owing_since timestamptz,
    grace_until timestamptz
);
CREATE INDEX subscriptions_scheduled ON subscriptions (scheduled_at) WHERE scheduled_at IS NOT NULL;
CREATE INDEX subscriptions_in_grace ON subscriptions (grace_until) WHERE status = 'past_due';
"""


def upgrade() -> None:
    op.execute(TABLES)
