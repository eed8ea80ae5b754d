"""
The monthly message quota, and the bots that live on it.

Owns one row per org (its consistency boundary), a ledger stream per org and month with tallies by day and bot, and a
roster of bots per org. Questions are in `reading`; what an org's activity shows of it, in `activity`.
Commands: admit and refund messages; create, rename, pause, resume and delete bots; operations grant credits. Tells:
BotsStopped, BotsRestarted, BotPaused, BotResumed, QuotaReset, UsageThresholdReached, ErasureDone. Hears: billing's
SubscriptionChanged, which sets the limits, and accounts' OrgErased.
"""
