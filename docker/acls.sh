#!/bin/sh
# Gives one principal the rights of one role, no more, with Kafka's own kafka-acls.sh:
#
#     acls.sh maker    User:grayline-setup                          may run `grayline topics create`
#     acls.sh worker   User:grayline         grayline               works in that group on message-relay and cdr
#     acls.sh worker   User:grayline         grayline reports       ... and reads these inputs besides
#     acls.sh carrier  User:carrier-a        message-relay          writes that topic
#     acls.sh blocker  User:blocker-a        blocker-a              reads who is blocked, in that group or none, and acknowledges
#     acls.sh relay    User:relay-3          relay-3                reads which senders to stop at its side, in that group or none
#     acls.sh sharer   User:carrier-a-share  carrier-a-share        shares numbers with other carriers, and reads theirs
#     acls.sh operator User:operator                               may pause, release and block, and enter numbers into the registry
#     acls.sh desk     User:review-desk      review-desk            reads the review queue and the history, and decides
#     acls.sh judge    User:review-desk                            ... and judges those who reported a number
#     acls.sh redriver User:redriver                               lists, shows and redrives dead letters
#
# BOOTSTRAP: the brokers (localhost:9092). ADMIN_CONFIG: properties of an administrator's Java client. KAFKA_ACLS: the
# tool, kafka-acls.sh on the PATH unless given. Running it again changes nothing.
set -eu

inputs="message-relay cdr reports traps control"
global="control-global"
outputs="block-events block-history review-queue shadow-events sanctions dead-letters block-status"
acks="block-acks"
origins="relay-actions"
shared="shared-numbers"
internal="ledger snapshots rekeyed derived"

allow() {  # OPERATIONS RESOURCES: words of operations, then resources as kafka-acls.sh takes them
    operations=$1
    shift
    for operation in $operations; do
        set -- --operation "$operation" "$@"
    done
    "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "${BOOTSTRAP:-localhost:9092}" \
        ${ADMIN_CONFIG:+--command-config "$ADMIN_CONFIG"} --add --allow-principal "$principal" "$@"
}

topics() {
    for name in "$@"; do
        printf -- '--topic %s ' "$name"
    done
}

# No name of a topic has a space, so that what `topics` prints may be split at spaces.
# shellcheck disable=SC2046,SC2086
grant() {
    case $role in
    maker)
        allow "Create Describe DescribeConfigs" $(topics $inputs $global $outputs $acks $origins $shared $internal)
        ;;
    worker)
        group=$1
        shift
        allow "Read" $(topics message-relay cdr control "$@" $global $internal) --group "$group"
        allow "Write" $(topics $outputs $origins $internal)
        allow "DescribeConfigs" $(topics message-relay cdr control "$@" dead-letters rekeyed)
        allow "Write" --transactional-id "$group" --resource-pattern-type prefixed
        ;;
    carrier)
        allow "Write" $(topics "$1")
        ;;
    blocker)
        allow "Read" $(topics block-events block-status) --group "$1"
        allow "Write" $(topics $acks)
        ;;
    relay)
        allow "Read" $(topics $origins) --group "$1"
        ;;
    sharer)
        allow "Read" $(topics block-events $shared) --group "$1"
        allow "Write" $(topics $shared)
        ;;
    operator)
        allow "Read Write" $(topics $global)
        allow "Write" $(topics control)
        allow "Read" $(topics block-status block-events block-history review-queue $acks)
        ;;
    desk)
        allow "Write" $(topics control)
        allow "Read" $(topics block-events block-status block-history review-queue $acks) --group "$1"
        ;;
    judge)
        allow "Read" $(topics reports)
        allow "Read Write" $(topics $global)
        ;;
    redriver)
        allow "Read Write" $(topics dead-letters)
        allow "Write" $(topics $inputs)
        allow "Write" --transactional-id grayline-redrive
        ;;
    esac
}

role=${1:-}
case $role in
maker | operator | judge | redriver) wanted=2 ;;
worker | carrier | blocker | relay | sharer | desk) wanted=3 ;;
*) wanted=0 ;;
esac
if [ "$wanted" -eq 0 ] || [ "$#" -lt "$wanted" ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
principal=$2
shift 2
grant "$@"
