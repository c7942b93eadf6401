"""Small integers that stand for names in columns. A code is the name's index in its tuple."""

from __future__ import annotations

# Kinds of event. A `complete` record becomes set-up, answer (if any), release and complete, in this order.
EVENTS = ("message", "setup", "answer", "release", "complete", "report", "trap", "control")
MESSAGE, SETUP, ANSWER, RELEASE, COMPLETE = range(5)

# Place 0 is "absent" in every enumeration below.
CHANNELS = ("", "sms", "lms", "mms", "rcs", "kakao")
ORIGINS = ("", "domestic", "international", "web", "roaming")
VERIFIED = ("", "full", "partial", "none")
REPORT_KINDS = ("", "message", "call")
DEPTHS = ("", "record", "limited", "full")
CONTROL_ACTIONS = (
    "",
    "allow",
    "disallow",
    "release",
    "approve",
    "reject",
    "block",
    "register",
    "unregister",
    "propose",
    "take",
    "suspend",
)

# What a text says. "none" is a text without; place 0 is no text at all, or one that nobody read.
IMPOSTURES = ("", "none", "relative", "payment")
MESSENGER_ASKS = ("", "none", "add", "id")  # to be added in a messenger, or looked for by an id
URL_RISKS = ("", "none", "allowed", "other", "shortener", "punycode", "ip", "look_alike", "denied")  # the worst counts

NUMBER_TYPES = (
    "other",  # not E.164: short codes, alphanumeric senders, SIP URIs, `anonymous`; or E.164 of no known type
    "mobile",
    "landline",
    "voip",
    "safe",
    "representative",
    "toll_free",
    "premium",
    "international",
)

# Korea's international access codes; none starts another. "+" means bare +CC, "" none of these. Codes stand in
# stored state, so new ones go to the end.
ACCESS_CODES = ("", "+", "001", "002", "005", "006", "008", "009", "00300", "00321", "00327", "00345", "00365",
                "00388", "00700", "00727", "00747", "00755", "00766", "00770", "00777", "00786",
                "00391", "00761", "00762", "0073")  # fmt: skip
