"""
API secrets: what a program of an org shows instead of a password.

The value is made in the gateway; only its SHA-256 comes here, and only an HMAC of that is kept. Owns a stream per
secret. Commands: create_secret, rotate_secret, revoke_secret, report_leaks, note_uses. Questions: verify_secret,
get_secret, list_secrets, list_newest, list_activity, name_secrets.
Tells: SecretCreated, SecretRotated, SecretRevoked, FormerValueEnded, SecretExpiresSoon,
ErasureDone. Hears: accounts' OrgErased, at which those of the org are revoked and erased.
"""
