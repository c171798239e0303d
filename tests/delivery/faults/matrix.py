"""What can befall the agent, and the tests that let it happen; `test_matrix` keeps this true.

Tests stand by their module, from `tests/delivery` on.  A campaign is the long form of them:
`make campaign ARGS=NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault, what the agent has to make of it, and where that is tested."""

    fault: str
    expected: str
    tests: Mapping[str, tuple[str, ...]]
    campaign: str = ""


MATRIX = (
    Row(
        fault="kill -9 at every system call of a delivery, and at random moments",
        expected="old or new files, never torn or mixed; the next start converges",
        campaign="kill",
        tests={
            "faults/test_kill.py": (
                "test_500_kills_leave_nothing_torn_or_mixed_and_every_restart_converges",
                "test_kills_under_a_real_envoy_lose_no_request_and_end_confirmed",
            ),
        },
    ),
    Row(
        fault="the power goes away: ext4 (ordered, writeback), btrfs, xfs",
        expected="the same, and nothing is lost that was said to be delivered or remembered",
        campaign="power",
        tests={
            "faults/test_power.py": (
                "test_120_power_cuts_tear_nothing_and_lose_nothing_acknowledged",
                "test_40_power_cuts_tear_and_lose_nothing_on_other_file_systems",
            ),
        },
    ),
    Row(
        fault="write, sync, open, rename end in an error",
        expected="not acknowledged, the old file stays, tried again",
        campaign="disk",
        tests={
            "faults/test_disk.py": (
                "test_a_refusal_at_every_write_sync_open_and_rename_leaves_the_old_state_and_heals",
            ),
            "agent/test_refusing_disk.py": (
                "test_a_rename_whose_sync_fails_is_taken_back_with_all_that_it_needs",
            ),
        },
    ),
    Row(
        fault="the disk is full, out of inodes, read-only",
        expected="the old files stay, it is said, and it heals when there is room",
        campaign="disk",
        tests={
            "faults/test_disk.py": (
                "test_a_disk_that_is_full_or_read_only_for_a_while_is_told_of_and_healed_from",
            ),
            "agent/test_refusing_disk.py": (
                "test_a_full_disk_does_not_keep_an_agent_from_its_target",
            ),
        },
    ),
    Row(
        fault="the disk under the source cannot be read",
        expected="what runs stays, it is said, and it heals when the disk does",
        tests={
            "faults/test_source_disk.py": (
                "test_a_disk_that_cannot_be_read_keeps_what_runs_and_is_read_when_it_can",
                "test_a_source_of_which_nothing_can_be_looked_at_is_a_failing_source",
            ),
        },
    ),
    Row(
        fault="the target is moved away, removed, or replaced by another directory",
        expected="noticed, filled anew, and a restart of Envoy is asked for",
        tests={
            "hosts/test_target_gone.py": (
                "test_a_target_that_has_gone_is_filled_anew_and_envoy_has_to_be_restarted",
            ),
            "hosts/test_envoy_trouble.py": ("test_a_replaced_target_asks_for_a_restart_of_envoy",),
            "agent/test_lock.py": ("test_a_target_that_is_replaced_is_noticed",),
        },
    ),
    Row(
        fault="links, hard links, pipes, folders, mounts in the place of a file or folder",
        expected="refused, and never written in place",
        tests={
            "agent/test_hostile_target.py": (
                "test_a_folder_that_is_a_link_is_not_written_through",
                "test_a_pipe_in_the_place_of_a_file_is_refused_at_once",
                "test_another_name_of_the_old_file_keeps_the_old_bytes",
                "test_a_mount_in_the_target_is_refused_and_never_written_in_place",
            ),
        },
    ),
    Row(
        fault="somebody swaps places of the target for links all the time",
        expected="nothing outside is written, made, removed or changed in its mode",
        campaign="links",
        tests={
            "faults/test_links.py": (
                "test_whoever_swaps_places_for_links_leads_nothing_out_of_the_target",
            ),
        },
    ),
    Row(
        fault="the queue of Envoy's inotify overflows",
        expected="noticed by what Envoy says that it runs, and delivered again",
        tests={
            "hosts/test_envoy_trouble.py": (
                "test_an_overflow_of_envoys_queue_is_noticed_and_mended",
            ),
        },
    ),
    Row(
        fault="no inotify instance is left for the agent, or too few for Envoy",
        expected="the source is polled, and it is said; what would make Envoy abort is refused",
        tests={
            "agent/test_resident.py": ("test_without_inotify_it_polls_and_says_so",),
            "agent/test_inotify.py": (
                "test_what_would_make_envoy_abort_is_refused_with_the_remedy",
            ),
        },
    ),
    Row(
        fault="Envoy refuses a file: a port that is taken, a field that it does not know",
        expected="the last good set comes back, the generation goes into quarantine",
        tests={
            "hosts/test_follow.py": (
                "test_what_only_the_running_envoy_refuses_is_taken_back_under_traffic",
                "test_clusters_that_are_refused_in_part_are_all_taken_back",
            ),
            "hosts/test_local_envoy.py": (
                "test_a_file_for_a_newer_envoy_is_refused_by_the_field_that_is_not_known",
            ),
        },
    ),
    Row(
        fault="the Envoy program that judges is another version, hangs, crashes, or is none",
        expected="no verdict is no yes where one is required; otherwise the status tells",
        tests={
            "hosts/test_local_envoy.py": (
                "test_where_a_verdict_is_required_none_is_no_yes",
                "test_where_no_verdict_is_required_the_running_envoy_decides_and_the_status_tells",
                "test_a_following_agent_waits_for_a_program_that_judges",
                "test_what_an_older_envoy_refuses_is_not_delivered_until_somebody_gives_the_word",
            ),
            "agent/test_validation.py": (
                "test_a_hung_program_is_ended_with_all_that_it_has_started",
            ),
        },
    ),
    Row(
        fault="Envoy's admin interface is down, hangs, or answers with garbage or without end",
        expected="nothing is delivered on top of doubt; the agent stays awake and small",
        tests={
            "hosts/test_envoy_trouble.py": (
                "test_an_envoy_that_comes_up_later_gets_what_has_come_since",
                "test_an_admin_that_lies_leaves_the_agent_awake_and_is_forgiven",
                "test_an_endless_answer_is_cut_off_and_costs_no_memory",
            ),
        },
    ),
    Row(
        fault="Envoy restarts in the midst of a delivery",
        expected="it comes up on a complete set",
        tests={
            "hosts/test_envoy_trouble.py": (
                "test_envoy_killed_while_it_drains_comes_up_on_a_complete_set",
                "test_envoy_killed_while_clusters_warm_comes_up_on_a_complete_set",
            ),
        },
    ),
    Row(
        fault="an empty set, or one that shrinks or grows too much",
        expected="held until somebody gives the word",
        tests={
            "hosts/test_follow.py": ("test_what_shrinks_too_much_waits_for_a_word",),
            "agent/test_guard.py": (
                "test_a_set_that_differs_too_much_is_held_with_the_numbers",
                "test_the_word_for_shrinking_is_none_for_an_empty_set",
            ),
        },
    ),
    Row(
        fault="a web server: errors, resets, slow, cut off, endless, compressed, redirects, TLS",
        expected="what runs stays; asked for ever, at growing random distances",
        tests={
            "sources/test_hostile_web.py": (
                "test_a_reply_that_is_none_is_said_with_its_reason",
                "test_what_never_ends_is_not_taken_in",
                "test_a_trickle_is_given_up_for_its_speed",
                "test_a_compressed_reply_is_refused_unopened",
                "test_a_redirect_is_not_followed",
            ),
            "sources/test_tls.py": ("test_a_certificate_that_does_not_hold_is_refused",),
            "agent/test_resident.py": (
                "test_a_failing_source_is_asked_ever_more_rarely_and_never_given_up",
            ),
            "agent/test_state.py": (
                "test_a_failing_source_is_asked_for_ever_at_growing_random_distances",
            ),
        },
    ),
    Row(
        fault="a manifest or a file that is not what it should be; sets that are mixed",
        expected="refused by its reason before anything is kept",
        tests={
            "sources/test_directory.py": ("test_a_file_that_is_not_the_named_one_may_still_come",),
            "sources/test_hostile_manifest.py": (
                "test_a_name_that_leads_elsewhere_is_refused_before_anything_is_read",
                "test_a_manifest_that_contradicts_itself_is_refused_by_its_reason",
            ),
        },
    ),
    Row(
        fault="publications that go back, or come from the future",
        expected="held until somebody gives the word",
        tests={
            "agent/test_order.py": (
                "test_an_older_publication_leads_to_nothing",
                "test_a_publication_from_the_future_is_doubted",
            ),
        },
    ),
    Row(
        fault="the clock jumps ten years ahead or back",
        expected="nothing changes",
        tests={
            "agent/test_resident.py": ("test_a_clock_that_jumps_ten_years_changes_nothing",),
        },
    ),
    Row(
        fault="the agent is stopped (SIGSTOP) for long, and goes on",
        expected="Envoy serves on; then one step to the newest generation",
        campaign="freeze",
        tests={
            "faults/test_freeze.py": (
                "test_after_a_stop_the_agent_comes_to_the_newest_generation_in_one_step",
            ),
            "agent/test_resident.py": ("test_after_a_long_stop_it_catches_up_in_one_step",),
        },
    ),
    Row(
        fault="SIGTERM in the midst of a delivery; the watchdog of the service manager",
        expected="it ends soon, and the next start goes on; a stuck agent is not called alive",
        tests={
            "agent/test_resident.py": (
                "test_a_stop_in_the_midst_of_a_delivery_leaves_the_rest_to_the_next_start",
            ),
            "hosts/test_service.py": (
                "test_a_termination_while_listeners_drain_ends_soon_and_the_next_start_goes_on",
                "test_the_service_manager_hears_of_readiness_life_state_and_end",
            ),
        },
    ),
    Row(
        fault="two agents on one target",
        expected="the second one names the first, and ends",
        tests={
            "agent/test_resident.py": ("test_a_second_process_names_the_first_and_ends_with_3",),
            "agent/test_lock.py": (
                "test_a_second_agent_with_another_state_folder_is_kept_out_too",
            ),
        },
    ),
    Row(
        fault="the agent's own files are empty, cut off, or full of something else",
        expected="it starts, removes nothing of Envoy's, and ends on the newest generation",
        tests={
            "agent/test_damaged_state.py": (
                "test_with_any_mixture_of_damages_it_starts_and_ends_on_the_newest",
                "test_with_damaged_memory_and_no_source_what_lies_there_stays",
            ),
            "agent/test_memory.py": ("test_every_cut_of_a_ledger_is_noticed",),
        },
    ),
    Row(
        fault="a storm of changes",
        expected="some are delivered in the midst of it, and the newest at the end",
        tests={
            "agent/test_resident.py": (
                "test_in_a_storm_of_changes_only_some_are_delivered_and_the_newest_wins",
            ),
        },
    ),
    Row(
        fault="changes for hours, with refusals, pauses and restarts in between",
        expected="memory, descriptors and threads do not grow",
        campaign="soak",
        tests={
            "faults/test_soak.py": (
                "test_an_agent_that_delivers_all_the_time_holds_no_more_for_it",
            ),
            "agent/test_resident.py": ("test_it_stays_small_and_lets_go_of_everything",),
        },
    ),
    Row(
        fault="every kind of change under load, on kept and on new connections",
        expected="no request fails",
        campaign="live",
        tests={
            "faults/test_live_changes.py": (
                "test_no_request_fails_while_everything_changes_and_the_agent_is_killed",
            ),
        },
    ),
)
