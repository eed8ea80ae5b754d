"""Usage by month, and by day and bot. `chatness projections rebuild quota` fills in what was counted before."""

from alembic import op

revision = "quota_0004"
down_revision = "quota_0003"
branch_labels = None
depends_on = None

# The rows of a day are changed with every batch: on half-filled pages that needs no entry in the index.
TABLES = """
CREATE TABLE usage_months (
    org_id text NOT NULL,
    period text NOT NULL,
    plan text NOT NULL,
    message_limit bigint NOT NULL,
    resets bigint NOT NULL,
    reset_used bigint NOT NULL,
    credits bigint NOT NULL,
    PRIMARY KEY (org_id, period)
);
CREATE TABLE usage_days (
    org_id text NOT NULL,
    period text NOT NULL,
    day text NOT NULL,
    bot_id text NOT NULL,
    messages bigint NOT NULL,
    from_credits bigint NOT NULL,
    refunded bigint NOT NULL,
    given_back bigint NOT NULL,
    PRIMARY KEY (org_id, period, day, bot_id)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(TABLES)
