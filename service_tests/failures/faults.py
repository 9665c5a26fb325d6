"""Every fault of the failure table: how it is made, which metric and alert show it, and which test holds it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service_tests.failures import client_faults, process_faults, store_faults
from service_tests.failures.fault_scene import Arrangement, Scene
from service_tests.failures.metric_watch import UP

DEDICATED = Arrangement(options=("--workers", "2", "--model-process", "dedicated"))
HANGING = Arrangement(has_hanging_model=True)
EMBEDDED = Arrangement(store="embedded", variables={"NEXTUP_DURABILITY": "always"})
RESTARTING = "NextupRestarting"
NO_ALERT = "none"


@dataclass(frozen=True)
class Fault:
    """`metric` is a sample of /metrics; `test` is FILE::TEST in service_tests."""

    title: str
    inject: Callable[[Scene], Awaitable[None]]
    metric: str
    alert: str
    test: str
    arrangement: Arrangement = field(default_factory=Arrangement)


def name_restart(process: str, reason: str) -> str:
    return f'nextup_restarts_total{{process="{process}",reason="{reason}"}}'


def name_rejection(reason: str) -> str:
    return f'nextup_rejected_total{{reason="{reason}"}}'


def name_answer(source: str, reason: str) -> str:
    return f'nextup_recommendations_total{{reason="{reason}",served_by="{source}"}}'


FAULTS = {
    "batch_hangs": Fault(
        "A batch of the model hangs",
        process_faults.hang_batch,
        'nextup_restarts_total{process="worker"}',  # model_stalled in a thread, loop_stalled in the event loop
        RESTARTING,
        "failures/test_stalled_processes.py::test_worker_with_a_hanging_model_is_replaced_and_drops_no_request",
        HANGING,
    ),
    "batch_holds_gil": Fault(
        "A batch hangs and holds the GIL",
        process_faults.hang_batch_with_gil,
        name_restart("worker", "unresponsive"),
        RESTARTING,
        "failures/test_stalled_processes.py::test_process_that_holds_the_gil_is_killed_while_the_other_worker_serves",
        HANGING,
    ),
    "model_stopped": Fault(
        "The dedicated model process stops (SIGSTOP)",
        process_faults.stop_model,
        name_restart("model", "unresponsive"),
        RESTARTING,
        "failures/test_stalled_processes.py::test_stopped_model_process_is_replaced_while_popular_items_are_served",
        DEDICATED,
    ),
    "model_killed": Fault(
        "The dedicated model process is killed",
        process_faults.kill_model,
        name_restart("model", "killed"),
        RESTARTING,
        "failures/test_model_process.py::test_killed_model_process_is_replaced_while_the_popularity_fallback_answers_in_time",
        DEDICATED,
    ),
    "worker_killed": Fault(
        "A worker is killed",
        process_faults.kill_worker,
        name_restart("worker", "killed"),
        RESTARTING,
        "end_to_end/test_process.py::test_killed_worker_is_replaced_and_its_counters_are_kept",
    ),
    "worker_stopped": Fault(
        "A worker stops (SIGSTOP)",
        process_faults.stop_worker,
        name_restart("worker", "unresponsive"),
        RESTARTING,
        "failures/test_failure_table.py::test_fault_harms_no_answer_and_no_event",
    ),
    "supervisor_killed": Fault(
        "The supervisor is killed, and a service manager starts the service again",
        process_faults.kill_supervisor,
        UP,
        "NextupAbsent",
        "failures/test_drain.py::test_killed_supervisor_leaves_neither_processes_nor_the_port",
        EMBEDDED,
    ),
    "rolling_restart": Fault(
        "Two instances are restarted one after the other (SIGTERM)",
        process_faults.restart_instances,
        UP,
        NO_ALERT,
        "failures/test_drain.py::test_sigterm_under_load_drops_no_request",
        Arrangement(options=("--workers", "1"), instances=2),
    ),
    "workers_replaced": Fault(
        "All workers of an instance are replaced (SIGHUP)",
        process_faults.replace_workers,
        name_restart("worker", "requested"),
        NO_ALERT,
        "failures/test_replacements.py::test_rolling_restart_replaces_all_workers_and_drops_no_request",
    ),
    "newest_version_broken": Fault(
        "The newest version is damaged when the service is restarted",
        process_faults.break_newest_version,
        'nextup_model_reload_total{result="rejected"}',
        NO_ALERT,
        "failures/test_replacements.py::test_start_with_a_broken_newest_version_serves_the_older_one",
        Arrangement(has_two_versions=True),
    ),
    "redis_stopped": Fault(
        "An external Redis hangs for 6 s (SIGSTOP)",
        store_faults.stop_redis,
        "nextup_store_up",
        "NextupStoreDown",
        "failures/test_store_hangs.py::test_hanging_redis_is_answered_from_the_cache_until_it_continues",
    ),
    "redis_killed": Fault(
        "An external Redis is away for 6 s (SIGKILL)",
        store_faults.kill_redis,
        "nextup_store_up",
        "NextupStoreDown",
        "failures/test_redis_down.py::test_service_survives_an_outage_of_redis",
    ),
    "redis_flapping": Fault(
        "An external Redis hangs for 0.8 s, six times",
        store_faults.flap_redis,
        'nextup_store_errors_total{operation="recent"}',
        "NextupStoreDown",
        "failures/test_failure_table.py::test_fault_harms_no_answer_and_no_event",
    ),
    "redis_out_of_memory": Fault(
        "Redis is out of memory for 6 s (`noeviction`)",
        store_faults.exhaust_redis_memory,
        'nextup_store_errors_total{operation="append"}',
        "NextupStoreMemoryNearLimit",
        "failures/test_disk_and_memory.py::test_redis_without_memory_refuses_events_and_recommends",
    ),
    "embedded_killed": Fault(
        "The embedded Redis is killed",
        store_faults.kill_embedded,
        name_restart("redis", "killed"),
        RESTARTING,
        "failures/test_embedded_redis.py::test_killed_server_is_restarted_and_nothing_is_lost",
        EMBEDDED,
    ),
    "embedded_stopped": Fault(
        "The embedded Redis stops (SIGSTOP)",
        store_faults.stop_embedded,
        name_restart("redis", "unresponsive"),
        RESTARTING,
        "failures/test_store_hangs.py::test_embedded_redis_that_hangs_is_replaced_loses_nothing_and_does_not_delay_the_end",
        EMBEDDED,
    ),
    "disk_full": Fault(
        "The disk of the embedded Redis is full for 6 s",
        store_faults.fill_disk,
        'nextup_store_errors_total{operation="append"}',
        "NextupErrors",
        "failures/test_disk_and_memory.py::test_full_disk_refuses_events_until_there_is_room",
        Arrangement(store="embedded", is_on_small_disk=True),
    ),
    "history_damaged": Fault(
        "The stored values of one user are damaged until the user is erased",
        store_faults.damage_history,
        name_answer("popularity", "damaged_history"),
        NO_ALERT,
        "failures/test_damaged_history.py::test_damaged_value_fails_no_read_of_another_user",
    ),
    "overload": Fault(
        "Three times the capacity is offered for 20 s",
        client_faults.overload,
        name_rejection("overloaded"),
        "NextupShedding",
        "failures/test_saturated_loop.py::test_saturated_event_loop_refuses_requests_and_answers_the_remainder",
    ),
    "silent_connections": Fault(
        "1,200 connections send nothing, where a process may have 400",
        client_faults.hold_silent_connections,
        name_rejection("connections"),
        NO_ALERT,
        "failures/test_connection_limit.py::test_connections_that_send_nothing_more_do_not_keep_others_out",
        Arrangement(variables={"NEXTUP_MAX_CONNECTIONS": "400"}),
    ),
    "huge_headers": Fault(
        "Four clients send a header of 60 MB each",
        client_faults.send_huge_headers,
        name_rejection("head_size"),
        NO_ALERT,
        "failures/test_edge_bounds.py::test_head_beyond_its_bound_is_rejected_and_not_read",
    ),
}
