"""Rule files for comparing the engine with the reference: every kind of counter, mode and topic, and conditions that
small traffic meets often."""

HOURS = """
hours:
  office: {location: Asia/Seoul, weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "18:00"}], holidays: KR}
  night: {location: Asia/Seoul, times: [{start_time: "22:00", end_time: "24:00"}, {start_time: "00:00", end_time: "06:00"}]}
"""  # noqa: E501

MESSAGES = (
    HOURS
    + """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
  sent_1h: {on: message-relay, per: sender, count: events, window: 1h, resolution: 10m}
  gray: {on: message-relay, per: sender, gray: {short: 30s, long: 20m}}
  recipients: {on: message-relay, per: sender, distinct: recipient, window: 10m}
  contents: {on: message-relay, per: sender, distinct: content, window: 1h}
  relays: {on: message-relay, per: sender, distinct: relay, window: 1h}
  foreign: {on: message-relay, per: sender, count: events, window: 10m,
    where: origin == "international" and channel != "rcs"}
rules:
  - name: burst
    summary: "as \\"many\\" as the hours allow: 한글"
    limits: {rate: {always: 3, office: 2, night: 1}}
    when: sent >= rate and sender_type in ("mobile", "voip", "other")
    then: {block: [messages, calls], directions: [incoming, outgoing], for: 2h}
    mode: enforce
  - name: spread
    summary: different people and texts
    limits: {most: 2.5, share: {always: 0.4, office: 0.6}}
    when: recipients + contents / 2 > most or contents / recipients < share
    then: {block: [messages], directions: [outgoing], for: {first: 10m, again: 25m}}
    mode: enforce
    spoofable: accepted
  - name: level
    summary: gray levels
    when: gray.short + gray.long > 2.123 and not (sent_1h > 6.5)
    then: {block: [messages], directions: [outgoing], for: 30d}
    mode: review
  - name: abroad
    summary: from abroad
    when: foreign >= 2 and verified != "full"
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: shadow
  - name: through-relays
    summary: several relays
    when: relays >= 2 and access_code not in ("006", "009") or relays >= 1 and channel == "sms" and sent < 2
    then: {block: [calls], directions: [incoming], for: 1d}
    mode: enforce
"""
)

CALLS = (
    HOURS
    + """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  everything: {on: cdr, per: caller, count: events, window: 2m, resolution: 40s}
  live: {on: cdr, per: caller, count: concurrent, max_age: 1h}
  young: {on: cdr, per: caller, count: concurrent, max_age: 20s}
  callees: {on: cdr.setup, per: caller, distinct: callee, window: 2m}
  carriers: {on: cdr.complete, per: caller, distinct: carrier, window: 1h}
  talked: {on: cdr.release, per: caller, sum: duration, window: 1h}
  mean: {on: cdr.release, per: caller, mean: duration, window: 10m, where: duration > 0.5}
  mean_whole: {on: cdr.complete, per: caller, mean: duration, window: 10m}
  answered: {on: cdr.answer, per: caller, count: events, window: 1h}
  gray: {on: cdr.release, per: caller, gray: {short: 1m, long: 1h}}
  short: {on: cdr.release, per: caller, share: duration < 30 and origin != "web", window: 1h, at_least: 2}
  median: {on: cdr.release, per: caller, quantile: 0.5, of: duration, window: 1h, at_least: 1, default: 600}
  most: {on: cdr, per: caller, peak: concurrent, max_age: 1h, window: 2m}
  burst: {on: cdr.setup, per: caller, ratio: {recent: 1m, habit: 10m}, at_least: 1, default: 1}
  trusted: {on: cdr, per: caller, weigh: {verified: {full: 0.5, partial: 0.125}}, window: 1h}
  short_soon: {on: cdr.complete, per: caller, share: duration < 61, window: 10m, at_least: 1, default: 1}
rules:
  - name: lines
    summary: several calls at once
    limits: {lines: {always: 3, office: 2}}
    when: live >= lines
    then: {block: [calls], directions: [outgoing], for: 3h}
    mode: enforce
  - name: young-lines
    summary: several young calls, and few people answer
    when: young >= 2 and answered / everything < 0.34
    then: {block: [calls], directions: [outgoing], for: 30m}
    mode: enforce
    spoofable: accepted
  - name: short-calls
    summary: short on average
    limits: {seconds: {always: 20, night: 45}}
    when: not (mean >= seconds) and rate < 4
    then: {block: [calls, messages], directions: [outgoing, incoming], for: 1d}
    mode: enforce
    spoofable: accepted
  - name: long-talks
    summary: talks long, or a call that lasts
    when: talked > 60.5 or duration > 100
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: review
  - name: whole
    summary: complete records
    when: carriers >= 1 and mean_whole < 61
    then: {block: [calls], directions: [outgoing], for: 2d}
    mode: shadow
  - name: dial
    summary: many callees
    when: 1 < callees <= 3 and gray.short + gray.long > 1.7 and caller_type == "mobile"
    then: {block: [calls], directions: [incoming], for: 12h}
    mode: enforce
  - name: mostly-short
    summary: a part of the calls is short
    limits: {part: {always: 0.6, office: 0.45}}
    when: short >= part and short_soon * short.samples > 1
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: enforce
  - name: lines-of-late
    summary: several calls at once of late, or more than its habit
    when: most >= 2 and most.now <= 2 and median < 200 or burst > 2.5 and burst.samples >= 2
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: review
  - name: by-weight
    summary: events by who vouches for them
    when: trusted > 1.125 and trusted < 2 and rate >= 1
    then: {block: [calls], directions: [outgoing], for: 3h}
    mode: enforce
    spoofable: accepted
  - name: dial-again
    summary: the same counters in another rule
    when: callees in (2, 3) and origin == "international"
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: enforce
"""
)

BOTH = (
    HOURS
    + """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 10m}
  dialled: {on: cdr.setup, per: caller, count: events, window: 10m}
  live: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  recipients: {on: message-relay, per: sender, distinct: recipient, window: 5m}
  gray: {on: message-relay, per: sender, gray: {short: 1m, long: 30m}}
  mean: {on: cdr.release, per: caller, mean: duration, window: 1h}
  alone: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - name: both
    summary: messages and calls
    when: sent + dialled >= 3 and sent >= 1 and dialled >= 1
    then: {block: [calls, messages], directions: [outgoing], for: 4h}
    mode: enforce
  - name: both-shadow
    summary: the same on trial
    when: live >= 1 and recipients >= 2
    then: {block: [calls], directions: [outgoing], for: 15m}
    mode: shadow
  - name: both-review
    summary: gray levels, and calls that are short
    when: gray.long > 1.234 and mean < 200 or gray.short > 1.9 and mean >= 0
    then: {block: [messages], directions: [incoming], for: 1d}
    mode: review
  - name: alone
    summary: calls alone
    limits: {rate: {always: 2, office: 3}}
    when: alone >= rate and verified in ("full", "partial")
    then: {block: [calls], directions: [outgoing], for: 1h}
    mode: enforce
"""
)

SAID_BY_OTHERS = """
counters:
  people: {on: reports, per: number, distinct: reporter, window: 1h}
  credit: {on: reports, per: number, credited: reporter, window: 20m, where: reporter_known == "full"}
  told: {on: reports, per: number, count: events, window: 10m, where: kind == "call"}
  texts: {on: reports, per: number, distinct: content, window: 1h}
  resellers: {on: reports, per: number, distinct: reseller, window: 1h}
  hits: {on: traps, per: sender, count: events, window: 1h}
  traps: {on: traps, per: sender, distinct: trap, window: 1d, where: 'depth in ("limited", "full")'}
  hosts: {on: traps, per: sender, distinct: source_ip, window: 1h}
  gray: {on: traps, per: sender, gray: {short: 1m, long: 1h}}
  depths: {on: traps, per: sender, weigh: {depth: {limited: 2, full: 4}}, window: 1d}
  sent: {on: message-relay, per: sender, count: events, window: 1h}
  dialled: {on: cdr.setup, per: caller, count: events, window: 1h, where: verified == "full"}
rules:
  - name: reported
    summary: several people
    when: people >= 2 or told >= 2 and number_type == "mobile"
    then: {block: [calls, messages], directions: [outgoing], for: 7d}
    mode: enforce
  - name: reported-texts
    summary: several texts or resellers
    when: (texts >= 2 or resellers >= 2) and reporter_type != "safe"
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: shadow
  - name: trapped
    summary: several traps
    when: (traps >= 2 or hits >= 3 or hosts >= 2) and depth != "record" and trap_type in ("mobile", "voip")
    then: {block: [calls], directions: [outgoing], for: 2h}
    mode: enforce
    spoofable: accepted
  - name: patient
    summary: comes back to traps
    when: gray.short + gray.long > 2.123
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: review
  - name: deep
    summary: traps that answered weigh more
    when: depths >= 6 or depths + sent >= 3 and sent >= 1
    then: {block: [calls, messages], directions: [outgoing], for: 1d}
    mode: review
  - name: reported-by-the-known
    summary: reporters of whom the network knows the handset
    when: credit >= 2 or credit >= 1 and sent >= 1
    then: {block: [calls, messages], directions: [outgoing], for: 1d}
    mode: enforce
    spoofable: accepted
  - name: sends-and-is-reported
    summary: messages and reports
    when: sent >= 1 and people >= 1
    then: {block: [messages], directions: [incoming], for: 4h}
    mode: enforce
  - name: dials-and-is-trapped
    summary: its own calls, and hits
    when: dialled >= 1 and hits >= 1 or dialled >= 2
    then: {block: [calls], directions: [outgoing], for: 4h}
    mode: enforce
    spoofable: accepted
"""

TO_BE_ORDERED_ABOUT = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - name: burst
    summary: messages
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: enforce
  - name: short
    summary: a hold that is soon over
    when: sent >= 1
    then: {block: [calls], directions: [incoming], for: 1h}
    mode: enforce
  - name: doubtful
    summary: for people to look at
    when: sent >= 2
    then: {block: [messages], directions: [incoming], for: 5h}
    mode: review
  - name: impatient
    summary: for people to look at soon
    when: sent >= 1
    then: {block: [messages], directions: [outgoing], for: 3h}
    mode: review
    unreviewed: {then: block, after: 10m}
  - name: impatient-of-all
    summary: the same on evidence that nobody vouches for
    when: sent >= 2
    then: {block: [calls], directions: [outgoing], for: 2d}
    mode: review
    spoofable: accepted
    unreviewed: {then: block, after: 1m}
  - name: unregistered
    summary: nobody registered the sender
    when: sent >= 2 and registered == "false"
    then: {block: [messages], directions: [outgoing], for: 3h}
    mode: enforce
    spoofable: accepted
  - name: spoofed-sender
    summary: from abroad, or through another account or relay than the sender's
    when: sent >= 1 and spoofed == "true"
    then: {block: [messages], directions: [outgoing], for: 2h}
    mode: review
  - name: strange-account
    summary: an account that nobody registered
    when: sent >= 1 and account_registered == "false" and registered == "true"
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: review
  - name: on-trial
    summary: a rule on trial
    when: sent >= 3
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: shadow
"""

ABOUT_OTHERS = """
hours:
  office: {location: Asia/Seoul, weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "18:00"}]}
counters:
  got: {on: message-relay, per: recipient, count: events, window: 10m}
  foreign: {on: message-relay, per: recipient, count: events, window: 1h, where: origin == "international"}
  senders: {on: message-relay, per: recipient, distinct: sender, window: 1h}
  texts: {on: message-relay, per: recipient, distinct: content, window: 1h}
  gray: {on: message-relay, per: recipient, gray: {short: 1m, long: 30m}}
  rung: {on: cdr.setup, per: callee, count: events, window: 10m}
  callers: {on: cdr.setup, per: callee, distinct: caller, window: 2m}
  lines: {on: cdr, per: callee, count: concurrent, max_age: 1h}
  most: {on: cdr, per: callee, peak: concurrent, max_age: 1h, window: 2m}
  talked: {on: cdr.release, per: callee, mean: duration, window: 1h}
  brief: {on: cdr.complete, per: callee, share: duration < 30, window: 1h, at_least: 1, default: 0}
  sent: {on: message-relay, per: sender, count: events, window: 10m}
  carried: {on: message-relay, per: relay, count: events, window: 1h}
  told: {on: reports, per: relay, count: events, window: 1h}
  dialled: {on: cdr.setup, per: relay, distinct: caller, window: 1h}
  through: {on: message-relay, per: carrier, distinct: sender, window: 10m}
  members: {on: message-relay, per: series, distinct: sender, window: 1d}
  calling: {on: cdr.setup, per: series, distinct: caller, window: 1d}
rules:
  - name: bad-relay
    summary: reports by what a relay carries
    when: told / carried > 0.2 and told >= 1 or dialled >= 2
    then: {recommend: [inspect], for: 1d}
    mode: enforce
  - name: busy-carrier
    summary: several senders
    when: through >= 2 and verified == "full"
    then: {recommend: [throttle], for: 1h}
    mode: review
  - name: series
    summary: several numbers of a block
    when: members + calling >= 2
    then: {recommend: [inspect, suspend], for: 7d}
    mode: enforce
  - name: flooded
    summary: many messages from several people
    limits: {rate: {always: 3, office: 2}}
    when: got >= rate and senders >= 2 or foreign >= 2
    then: {recommend: [warn], for: 2h}
    mode: enforce
  - name: one-text
    summary: texts, and who sends them
    when: texts >= 1 and gray.short + gray.long > 1.5 and sender_type == "mobile"
    then: {recommend: [inspect, warn], for: 30d}
    mode: review
  - name: rung-up
    summary: calls, and calls at once
    when: callers >= 2 and rung >= 2 or lines >= 2 and most.now < most
    then: {recommend: [throttle], for: 20m}
    mode: enforce
  - name: brief
    summary: talks that end soon
    when: talked < 60.5 or brief > 0.3 and duration < 100
    then: {recommend: [suspend], for: 1d}
    mode: shadow
  - name: sends
    summary: a number's own
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 2h}
    mode: enforce
"""

_SENT = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: sent
    summary: messages
    when: CONDITION
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
"""

RULE_FILES = {"messages": MESSAGES, "calls": CALLS, "both": BOTH}
OTHER_FILES = {"others": SAID_BY_OTHERS, "orders": TO_BE_ORDERED_ABOUT, "derived": ABOUT_OTHERS}
SMALL_FILES = {
    "many": _SENT.replace("CONDITION", "sent >= 3"),
    "among": _SENT.replace("CONDITION", "sent in (2, 9)"),
}
