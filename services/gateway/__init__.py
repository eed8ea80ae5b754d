"""
The gateway: the HTTP API and the web page, in front of the other services. It owns no data.

Asks: accounts, billing, secrets and quota, by RPC. Tells: nothing.
Hears: secrets.SecretRevoked and secrets.SecretRotated, accounts.OrgErased and accounts.MemberRemoved, as broadcasts
that empty its memory of tokens.
"""
