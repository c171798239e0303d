"""What can befall the server of the dynamic mode, and the tests that let it happen."""

from __future__ import annotations

from tests.delivery.faults.matrix import Row

SERVER_MATRIX = (
    Row(
        fault="no certificate, one that has expired, of another authority, or of another node",
        expected="refused before any of its requests is read; the log says why",
        tests={
            "xds/test_identity.py": (
                "test_nobody_gets_in_without_a_certificate_or_with_one_of_another_authority",
                "test_alternative_names_decide_and_the_common_name_does_not",
                "test_of_a_hundred_nodes_each_certificate_is_that_of_one",
            ),
            "xds/test_attacks_handshakes.py": (
                "test_why_a_handshake_failed_is_said_once_for_each_address",
            ),
        },
    ),
    Row(
        fault="a certificate comes to its end, or is withdrawn, under a live stream",
        expected="the stream is cut within ten seconds, and others are not",
        tests={
            "xds/test_identity.py": (
                "test_a_client_whose_certificate_comes_to_its_end_is_cut",
                "test_a_withdrawn_client_is_cut_and_stays_out",
            ),
        },
    ),
    Row(
        fault="certificates and authorities are renewed",
        expected="both sides take the new ones without a restart; broken ones leave the old",
        tests={
            "xds/test_identity.py": (
                "test_new_certificates_and_a_new_authority_count_without_a_restart",
                "test_certificates_that_cannot_be_used_leave_those_of_before",
            ),
            "xds/test_renewed_credentials.py": (
                "test_an_envoy_follows_renewed_credentials_without_a_restart",
            ),
        },
    ),
    Row(
        fault="thousands say nothing, begin a handshake, or send a preface slowly",
        expected="cut after five seconds; others are served meanwhile",
        campaign="attack",
        tests={
            "xds/test_attacks_campaign.py": ("test_others_are_answered_under_attack",),
            "xds/test_attacks_handshakes.py": (
                "test_thousands_that_only_connect_are_cut_and_leave_nothing",
            ),
            "xds/test_attacks.py": ("test_who_does_not_ask_is_cut_and_others_are_served",),
        },
    ),
    Row(
        fault="floods: resets, continuations, pings, settings, windows, frames of no kind",
        expected="the connection ends, and no other",
        campaign="attack",
        tests={
            "xds/test_attacks_campaign.py": ("test_others_are_answered_under_attack",),
            "xds/test_attacks.py": ("test_a_flood_ends_its_connection_and_no_other",),
            "xds/test_attacks_noise.py": (
                "test_noise_ends_its_connection_and_is_no_mistake_of_the_server",
            ),
        },
    ),
    Row(
        fault="requests that are too large, of too many names or types, or none at all",
        expected="refused before they are read, or counted over the connection",
        tests={
            "xds/test_attacks.py": (
                "test_a_request_that_is_too_large_is_refused_before_it_is_read",
                "test_a_head_that_is_too_large_ends_its_connection",
                "test_ten_thousand_names_in_one_request_are_answered",
                "test_names_that_a_client_asks_for_are_not_remembered_without_end",
                "test_a_request_that_is_no_message_is_refused",
            ),
        },
    ),
    Row(
        fault="a thousand clients that do not read",
        expected="one response each, memory stays, nobody waits for them",
        campaign="attack",
        tests={
            "xds/test_attacks_campaign.py": ("test_others_are_answered_under_attack",),
            "xds/test_endurance.py": (
                "test_clients_that_do_not_read_cost_one_response_and_hold_up_nobody",
            ),
            "xds/test_attacks_requests.py": (
                "test_who_never_takes_a_response_is_let_go_though_it_answers_pings",
            ),
        },
    ),
    Row(
        fault="refusals of everything, nonces of others, asking again, leaving, in any order",
        expected="ends on what is wanted or was refused, and does not send for ever",
        campaign="walks",
        tests={
            "xds/test_random_walks.py": (
                "test_every_walk_ends_with_what_is_wanted_or_was_refused",
                "test_the_campaign_counts_steps_and_names_the_walks_that_end_wrong",
            ),
            "xds/conformance/test_refusals.py": ("test_who_refuses_everything_is_left_alone",),
        },
    ),
    Row(
        fault="kill -9 of the server under thousands of streams, at rest and while it pushes",
        expected="all are back within 30 s, nobody is sent anything empty",
        campaign="restart",
        tests={
            "xds/test_killed.py": ("test_many_streams_come_back_to_a_server_that_was_killed",),
            "xds/test_moving.py": (
                "test_a_server_that_is_back_sends_nothing_that_has_not_changed",
            ),
        },
    ),
    Row(
        fault="the bundle is switched while it is sent",
        expected="a push is of one generation",
        tests={
            "xds/conformance/test_snapshots.py": (
                "test_a_push_is_of_one_generation_however_often_it_is_overtaken",
            ),
        },
    ),
    Row(
        fault="the event loop stands still, or a worker hangs",
        expected="logged and counted; the worker is replaced, systemd not told that all is well",
        tests={
            "xds/test_trouble.py": ("test_a_loop_that_stands_still_is_logged_and_counted",),
            "xds/test_worker_trouble.py": (
                "test_a_worker_that_hangs_is_said_not_recommended_and_replaced",
                "test_systemd_is_told_while_all_is_well_and_not_while_one_hangs",
            ),
        },
    ),
    Row(
        fault="a connection is half open: packets vanish, or nobody answers",
        expected="let go after an unanswered ping; an Envoy goes to another server",
        tests={
            "xds/test_half_open.py": ("test_packets_that_vanish_are_noticed_on_both_sides",),
            "xds/test_endurance.py": (
                "test_a_peer_that_has_vanished_is_let_go_and_one_that_answers_stays",
            ),
        },
    ),
    Row(
        fault="no file descriptors, no memory",
        expected="who is new is turned away, and the others are served",
        tests={
            "xds/test_endurance.py": (
                "test_without_file_descriptors_new_clients_wait_and_old_ones_are_served",
            ),
            "xds/test_memory.py": (
                "test_a_server_outlives_a_flood_that_would_take_more_than_it_may",
                "test_while_memory_is_short_nobody_new_is_served_and_the_others_are",
            ),
        },
    ),
)
