"""Failures that users of comparable systems have reported: each kind has tests, and this is the table of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT, INTEGRATION, FAULTS = "tests/unit", "tests/integration", "tests/faults"
# What went wrong elsewhere -> tests of ours, as file::test.
CASES: dict[str, tuple[str, ...]] = {
    "one call id for all calls of a caller": (
        f"{INTEGRATION}/test_field_admission.py::test_one_call_id_for_thirty_calls_switches_no_counting_off",
        f"{INTEGRATION}/test_field_admission.py::test_two_callers_with_equal_call_ids_both_count",
    ),
    "two relays with equal message ids": (
        f"{INTEGRATION}/test_field_admission.py::test_messages_of_two_relays_with_equal_ids_all_count",
    ),
    "one clock that is a month ahead": (
        f"{INTEGRATION}/test_field_admission.py::test_one_record_from_next_month_silences_nobody_where_kafkas_time_is_wrong_too",
        f"{INTEGRATION}/test_field_admission.py::test_a_feed_that_is_an_hour_or_a_month_off_harms_nobody_beside_it",
    ),
    "answers of another clock, releases that overtake": (
        f"{INTEGRATION}/test_field_admission.py::test_answers_of_a_clock_that_is_ahead_make_no_durations",
        f"{INTEGRATION}/test_field_admission.py::test_a_release_that_overtakes_its_answer_gets_its_duration_afterwards",
    ),
    "a carrier whose files come by the hour": (
        f"{INTEGRATION}/test_field_admission.py::test_a_carrier_that_delivers_files_by_the_hour_is_on_time_beside_one_that_is_live",
    ),
    "a feed's transaction stays open": (
        f"{INTEGRATION}/test_worker.py::test_ready_and_metrics_say_why_nothing_is_committed_or_read_until_it_is_again",
        f"{INTEGRATION}/test_record.py::test_an_open_transaction_is_waited_for_and_named_when_it_stays_open",
    ),
    "SMPP gives digits without their plus": (
        f"{UNIT}/test_field_numbers.py::test_digits_that_lost_their_plus_are_a_number_only_where_the_feed_says_so",
        f"{UNIT}/test_records_check.py::test_digits_that_are_numbers_in_another_format_are_told_with_the_way_to_read_them",
        f"{UNIT}/test_convert.py::test_smpp_gives_an_international_number_its_plus_and_guesses_at_no_other",
    ),
    "a number went through a float": (
        f"{UNIT}/test_field_numbers.py::test_a_number_that_went_through_a_float_blocks_nobody",
    ),
    "a home region with a slip in it": (
        f"{UNIT}/test_regions.py::test_what_is_no_country_is_refused_with_what_was_probably_meant",
        f"{UNIT}/test_regions.py::test_every_command_refuses_a_region_that_is_none",
        f"{UNIT}/test_field_numbers.py::test_an_institution_protected_in_national_form_is_left_alone",
    ),
    "half an emoji at the end of a text": (
        f"{UNIT}/test_feed_settings.py::test_half_an_emoji_takes_no_message_out_of_the_counts",
    ),
    "tel: and sip: addresses, percent encoding": (
        f"{UNIT}/test_field_numbers.py::test_one_number_in_the_forms_of_addresses_is_one_number",
    ),
    "times of answers that never were": (
        f"{UNIT}/test_feed_settings.py::test_an_answer_that_never_was_costs_the_answer_and_its_remedy_is_told",
        f"{INTEGRATION}/test_field_admission.py::test_answer_times_of_calls_that_nobody_answered_cost_the_answer_and_not_the_call",
    ),
    "envelopes of Connect, Debezium, CloudEvents": (
        f"{UNIT}/test_feed_settings.py::test_the_check_of_a_sample_names_its_envelope",
        f"{UNIT}/test_feed_settings.py::test_an_envelope_is_opened_where_the_feed_says_so_and_else_named",
    ),
    "files of other systems": (
        f"{UNIT}/test_suggest.py::test_what_is_no_file_of_records_is_named_with_the_way_out",
        f"{UNIT}/test_convert.py::test_asterisk_with_the_mess_of_a_real_file",
        f"{UNIT}/test_convert.py::test_jasmin_with_the_mess_of_a_real_log",
    ),
    "hours as two items, hours in UTC, weekdays that wrap": (
        f"{UNIT}/test_field_hours.py::test_slips_that_are_valid_are_warned_of",
        f"{UNIT}/test_field_hours.py::test_what_can_never_be_meant_is_refused",
        f"{UNIT}/test_field_hours.py::test_what_looks_odd_and_is_right_is_taken",
    ),
    "clock changes and odd zones": (
        f"{UNIT}/rules/test_hours.py::test_boundaries_give_what_the_wall_clock_oracle_gives",
    ),
    "new public holidays": (f"{UNIT}/test_field_hours.py::test_korean_holidays_from_2026_on",),
    "a hold ends while no worker lives": (
        f"{UNIT}/test_ledger_rows.py::test_a_worker_that_knows_only_the_last_rows_goes_on_as_if_it_had_never_stopped",
    ),
    "spellings of Korean numbers": (f"{UNIT}/test_field_numbers.py::test_spellings_of_korean_numbers",),
    "codecs, and records larger than a fetch": (
        f"{FAULTS}/test_input.py::test_records_of_every_codec_are_read",
        f"{FAULTS}/test_input.py::test_poison_is_dead_lettered_once_and_its_neighbours_are_untouched",
    ),
    "rotated files, newest first": (f"{UNIT}/test_field_files.py::test_rotated_files_are_told_to_be_out_of_order",),
}


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_failure_has_tests(case: str) -> None:
    for named in CASES[case]:
        file, _, test = named.partition("::")
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), named
