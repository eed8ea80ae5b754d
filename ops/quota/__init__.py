"""
`chatness quota`: how a customer's number came to be, whether what is stored agrees, and where old months are kept.

All of it is read from quota's own events, and folded by the rules of `services.quota.ledger` themselves.
"""
