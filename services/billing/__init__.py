"""
What an org pays for, and what it gets for it.

Owns the plan catalogue, one subscription stream per org, the link to a Stripe customer, and the webhooks' memory.
Commands: change the plan, cancel, withdraw a scheduled change, open the portal, receive a webhook. Tells:
SubscriptionChanged, PaymentFailed, PaymentRecovered, DuplicateSubscriptionEnded, PaymentRefunded, PaymentDisputed,
ErasureDone. Hears: accounts' OrgFounded, which puts an org on Free, and OrgErased, which ends it at Stripe first
(`erasing`).

Stripe's object is the truth about money. Whatever made us look (a call of ours, a webhook, a timer), we fetch it and
let one pure function, `sight.follow`, say what has changed; so order and repetition of the occasions do not matter.
Every night all are compared with Stripe (`reconciling`); every hour, what it told while nobody listened is taken in
(`missed_events`).
"""
