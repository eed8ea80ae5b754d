"""
The Stripe sandbox: a stateful server that the official `stripe` SDK talks to, for a laptop and for tests.

It has what the billing service uses: customers, prices, Checkout, the customer portal, subscriptions with proration,
invoices, declining test cards, a test clock, idempotency keys, signed webhooks with retries, and faults on demand
(`knobs`). No money moves. Start it with `python -m sandbox.stripe --port 12111 --state stripe.sqlite`.

Reading order: `server` and `api` (one call), `state` (one transaction), the resources (`customers`, `subscriptions`,
`invoices` and so on), `lifecycle` (what time does), `webhooks` (what the account is told), `pages` (what a person
clicks). A resource declares its calls as `ROUTES`; a handler takes the `Store` and the checked parameters.

What is simpler than at Stripe: a renewal's invoice is finalised and charged at once, not an hour later; there is one
item per subscription, monthly and licensed; no tax, coupons, trials or currencies beside the price's own; an amount
below Stripe's minimum charge is charged all the same.
"""
