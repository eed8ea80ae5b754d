"""
Accounts and orgs: who somebody is, how they sign in, and which org they act in.

Owns a stream per account and per org; credentials, sessions, registrations and resets are plain tables, never events.
Others come into an org by `invitations`, and go by `members`. A session acts in one org, and never in another.
A person leaves by `deletions`, and is then erased in all services by `erasing`, which waits for their reports.
Commands: register, confirm_email, request_password_reset, reset_password, create_session, end_session,
end_current_session, change_name, change_org, change_password, request_email_change, undo_email_change,
request_deletion, confirm_deletion, withdraw_deletion, withdraw_deletion_by_link, invite, withdraw_invitation,
accept_invitation, remove_member, hand_over_org, found_org, switch_org, set_picture, remove_picture.
Questions: verify_session, list_sessions, get_account, get_deletion, get_org, list_orgs, list_members, get_invitation,
list_invitations, list_activity, name_members, get_profile, get_org_profile, get_picture.
Tells: AccountRegistered, ProfileChanged, EmailChanged, OrgFounded, OrgChanged, MemberJoined, MemberRemoved,
OwnershipTransferred, DeletionConfirmed, DeletionWithdrawn, OrgErased, AccountErased. Hears: quota's
UsageThresholdReached, billing's DuplicateSubscriptionEnded and secrets' SecretRevoked, FormerValueEnded and
SecretExpiresSoon, and writes to the owner; ErasureDone of billing, secrets and quota.
"""
