"""The rows of the reliability scoreboard: the fault, what must happen, and the tests that show it.

    python -m pytest -n 2 --dist worksteal -m "fault and (slow or not slow)" --fault-report rlgan-reliability.json
    python tests/fault_report.py rlgan-reliability.json     the table of that suite, in markdown

A row is shown by all tests whose address begins with one of its entries.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        fault: what happens.
        expected: what must follow.
        tests: beginnings of test addresses below tests/.
    """

    fault: str
    expected: str
    tests: tuple[str, ...]


CORE, POLICIES, LAUNCH = "core/test_", "policies/test_", "launch/test_"
INSIDE = "test_a_learner_killed_in_the_middle_of_its_work"

ROWS = {
    "R1": Row(
        "a rollout runner is killed, between rounds or inside one",
        "the round is complete; weights as undisturbed; restarts counted",
        (
            f"{POLICIES}workers.py::test_a_killed_runner",
            f"{POLICIES}lost_runners.py::test_a_runner_killed",
            f"{POLICIES}lost_runners.py::test_a_runner_that_was_restarted",
            f"{POLICIES}ppgn.py::test_chains_are_the_same",
        ),
    ),
    "R2": Row(
        "all rollout runners are killed at once",
        "weights as undisturbed; exit 7 if none ever brings a shard",
        (f"{POLICIES}lost_runners.py::test_all_runners_killed", f"{POLICIES}lost_runners.py::test_runners_that_never"),
    ),
    "R3": Row(
        "the constructor of a runner or a learner raises, at the start or when it is started again",
        "exit 7 within two minutes, with the traceback; a runner beside others is done without",
        (
            f"{LAUNCH}worker_faults.py::test_runners_that_cannot_be_built",
            f"{POLICIES}lost_runners.py::test_a_runner_that_cannot_be_built_again",
            f"{POLICIES}recovery.py::test_learners_that_cannot_be_built_again",
        ),
    ),
    "R4": Row(
        "a policy learner is killed, between or inside updates; again and again",
        "the round is done again, weights as undisturbed; after `--max-learner-restarts` exit 7",
        (
            f"{POLICIES}recovery.py::test_a_killed_learner_costs_a_round_and_no_figure[seqgan-policy",
            *(f"{POLICIES}recovery.py::{INSIDE}[{name}-policy" for name in ("seqgan", "maskgan", "began", "ppgn")),
            f"{POLICIES}recovery.py::test_one_of_two_learners",
            f"{POLICIES}recovery.py::test_a_state_that_was_put_back",
            f"{POLICIES}recovery.py::test_a_learner_killed_before_the_first_round[policy",
            f"{POLICIES}recovery.py::test_a_learner_that_dies_while_it_gets_its_data",
            f"{POLICIES}recovery.py::test_whole_rounds_make_up",
            f"{POLICIES}recovery.py::test_learners_that_die",
            f"{POLICIES}recovery.py::test_a_learner_of_every_system",
            f"{LAUNCH}worker_faults.py::test_learners_that_die",
        ),
    ),
    "R5": Row(
        "the discriminator's learner is killed, between or inside retraining",
        "the same, with overlap too",
        (
            *(
                f"{POLICIES}recovery.py::test_a_killed_learner_costs_a_round_and_no_figure[{name}-discriminator"
                for name in ("seqgan", "maskgan", "bgan")
            ),
            *(f"{POLICIES}recovery.py::{INSIDE}[{name}-discriminator" for name in ("seqgan", "maskgan", "bgan")),
            f"{POLICIES}recovery.py::test_a_learner_killed_before_the_first_round[discriminator",
            f"{POLICIES}recovery.py::test_a_learner_lost_beside",
        ),
    ),
    "R6": Row(
        "a node with a rollout runner is lost",
        "the run goes on; a new node is used",
        (f"{POLICIES}nodes.py::test_a_node_with_a_runner",),
    ),
    "R7": Row(
        "the node with the learners is lost",
        "they start on another node, which may come later; weights as undisturbed. None comes: exit 7 in time",
        (f"{POLICIES}nodes.py::test_the_node_with", f"{LAUNCH}nodes.py::test_the_node_with"),
    ),
    "R8": Row(
        "the head of the cluster dies",
        "exit 6 within a minute; the last checkpoint is whole",
        (f"{LAUNCH}head.py::",),
    ),
    "R9": Row(
        "a runner or a learner hangs",
        "ended and replaced after rollout_timeout or learner_timeout; weights as undisturbed; rounds as fast as before",
        (
            f"{POLICIES}lost_runners.py::test_a_hung_runner",
            f"{POLICIES}recovery.py::test_a_hung_learner",
            f"{POLICIES}recovery.py::test_a_learner_that_hangs",
        ),
    ),
    "R10": Row("a runner is slow", "left alone", (f"{POLICIES}lost_runners.py::test_a_slow_runner",)),
    "R11": Row(
        "SIGINT or SIGTERM to the driver or its group; a second signal",
        "a checkpoint, exit 130 or 143, no process left within 20 s (idle machine: 10 s); at once after the second",
        (f"{LAUNCH}cli_train.py::test_a_signal", f"{LAUNCH}cli_train.py::test_a_second", f"{LAUNCH}interrupts.py::"),
    ),
    "R12": Row(
        "SIGKILL at every file operation of a checkpoint, and 30 times at random",
        "the newest whole checkpoint loads",
        (f"{CORE}checkpoint_crash.py::test_a_writer", f"{CORE}checkpoint_crash.py::test_thirty"),
    ),
    "R13": Row(
        "SIGKILL to the driver in the middle of a run, twice",
        "--resume auto goes on with no gap and no repeat; what was left is named",
        (f"{LAUNCH}cli_train.py::test_killed_then_resumed",),
    ),
    "R14": Row(
        "stop and resume",
        "the same weights bit for bit",
        (
            f"{LAUNCH}resume.py::test_a_run_resumed_from_any_round",
            f"{POLICIES}maskgan.py::test_resume_is_bit",
            f"{POLICIES}bgan.py::test_every_variant_trains_and_resumes",
            f"{POLICIES}began.py::test_same_seed",
            f"{POLICIES}ppgn.py::test_same_seed",
            f"{POLICIES}workers.py::test_overlap",
        ),
    ),
    "R15": Row(
        "the disk is full",
        "the old checkpoint stays; three refusals in a row: exit 5",
        (
            f"{CORE}checkpoint_crash.py::test_a_full_disk",
            f"{LAUNCH}training_run.py::test_a_disk",
            f"{LAUNCH}full_disk.py::",
        ),
    ),
    "R16": Row(
        "the run directory cannot be written",
        "exit 2 before Ray starts",
        (f"{LAUNCH}cli_directory.py::test_a_file", f"{LAUNCH}cli_directory.py::test_a_read_only"),
    ),
    "R17": Row(
        "files of a checkpoint are cut, emptied, flipped, missing or added",
        "named, the previous one is used; by name: exit 5",
        (
            f"{CORE}checkpoint_folder.py::test_damage",
            f"{CORE}checkpoint_folder.py::test_extra",
            f"{CORE}checkpoint_folder.py::test_no_flipped",
            f"{LAUNCH}resume.py::test_a_damaged",
        ),
    ),
    "R18": Row(
        "pickles, hostile JSON, paths out of the folder, links",
        "nothing runs; refused",
        (
            f"{CORE}checkpoint_folder.py::test_pickles",
            f"{CORE}checkpoint_folder.py::test_names",
            f"{CORE}checkpoint_folder.py::test_link",
            f"{CORE}checkpoint_folder.py::test_hostile",
            f"{CORE}checkpoint_folder.py::test_manifest",
        ),
    ),
    "R19": Row("another schema", "refused, both versions named", (f"{CORE}checkpoint_folder.py::test_another_schema",)),
    "R20": Row(
        "another vocabulary or architecture on resume",
        "exit 5, both named; nothing is half loaded",
        (f"{LAUNCH}resume.py::test_another_architecture", f"{CORE}checkpoint_torch_state.py::test_"),
    ),
    "R21": Row(
        "NaN or infinity in a reward, log-probability, loss, gradient or weight",
        "exit 4 in the same round, the last checkpoint is whole",
        (
            f"{LAUNCH}cli_train.py::test_a_non_finite",
            f"{LAUNCH}cli_train.py::test_rounds_with_a_non_finite",
            f"{LAUNCH}training_run.py::test_a_round_with_a_nan",
            f"{POLICIES}seqgan.py::test_non",
        ),
    ),
    "R22": Row(
        "all rewards are equal",
        "no NaN; gen/frac_reward_zero_std is 1; a warning, and the report says so",
        (
            f"{LAUNCH}cli_train.py::test_equal_rewards",
            f"{LAUNCH}cli_train.py::test_rewards_that_differ",
            f"{POLICIES}seqgan.py::test_controls_ignore",
            f"{POLICIES}seqgan.py::test_a_constant_reward",
            f"{LAUNCH}report.py::test_notes_say_when_nothing_could_be_learned",
        ),
    ),
    "R23": Row("no data, or less than a batch", "exit 3 with counts", (f"{LAUNCH}cli_data.py::",)),
    "R24": Row(
        "bytes that are no text",
        "exit 3 with file, line and byte; or counted",
        (f"{CORE}data_lines.py::test_bad", f"{CORE}data_lines.py::test_other_formats"),
    ),
    "R25": Row(
        "BOM, CRLF, lone CR, no last newline, U+2028",
        "the tokens of the clean file",
        (f"{CORE}data_lines.py::test_same_texts", f"{CORE}data_lines.py::test_lines_are"),
    ),
    "R26": Row("NUL and control characters", "kept inside their line", (f"{CORE}data_lines.py::test_line_separator",)),
    "R27": Row(
        "a line of 10 MB; a million short lines",
        "bounded memory, told",
        (f"{CORE}data_lines.py::test_ten_megabyte", f"{CORE}data_text.py::test_a_million"),
    ),
    "R28": Row(
        "the data changes or vanishes before a resume",
        "exit 3 unless --allow-data-change",
        (
            f"{LAUNCH}resume.py::test_other_data",
            f"{LAUNCH}resume.py::test_data",
            f"{LAUNCH}resume.py::test_another_oracle",
        ),
    ),
    "R29": Row("wrong options and settings", "exit 2, one line, nothing starts", (f"{LAUNCH}cli_config.py::",)),
    "R30": Row(
        "an address where nothing, nobody or something else answers",
        "exit 6 in time",
        (
            f"{LAUNCH}cli_cluster.py::test_a_refused",
            f"{LAUNCH}cli_cluster.py::test_no_",
            f"{LAUNCH}cli_cluster.py::test_a_listener",
            f"{LAUNCH}cli_cluster.py::test_the_connection",
        ),
    ),
    "R31": Row(
        "no token, or a wrong one",
        "exit 6 with a hint; no token is printed",
        (f"{LAUNCH}cli_cluster.py::test_a_cluster_whose_token", f"{LAUNCH}cli_cluster.py::test_a_cluster_with_tokens"),
    ),
    "R32": Row(
        "more workers than there is room for",
        "refused with numbers; --wait is bounded",
        (
            f"{LAUNCH}cli_cluster.py::test_more",
            f"{LAUNCH}cli_cluster.py::test_a_cluster_without",
            f"{LAUNCH}cli_cluster.py::test_a_cluster_that_is_too_small",
            f"{LAUNCH}cli_cluster.py::test_a_cluster_with_room",
            f"{LAUNCH}nodes.py::test_what_the_nodes_cannot_hold",
            f"{LAUNCH}nodes.py::test_waiting_for_a_node",
            f"{LAUNCH}worker_faults.py::test_workers_that_nothing_has_room_for",
            f"{POLICIES}resources.py::",
            f"{POLICIES}lost_runners.py::test_runners_whose_room",
        ),
    ),
    "R33": Row(
        "two runs in one directory",
        "the second exits 2; the lock of a killed run is free",
        (f"{LAUNCH}cli_directory.py::test_a_second_run", f"{LAUNCH}cli_directory.py::test_the_lock"),
    ),
    "R34": Row(
        "the TensorBoard directory vanishes or cannot be written",
        "one warning, training goes on",
        (f"{LAUNCH}tensorboard.py::test_a_directory",),
    ),
    "R35": Row(
        "300 rounds",
        "memory and open files do not grow",
        (f"{LAUNCH}chaos.py::test_soak",),
    ),
    "R36": Row(
        "a runner is killed every 3 s for a minute, then SIGTERM, then a resume",
        "steps strictly increase; the last figures are those of an undisturbed run",
        (f"{LAUNCH}chaos.py::test_chaos",),
    ),
}


def rows_of(address: str) -> list[str]:
    """The rows that a test shows.

    Args:
        address: of a test, such as tests/launch/test_resume.py::test_data_that_is_gone.
    """
    below = address.partition("tests/")[2] or address
    return [name for name, row in ROWS.items() if below.startswith(row.tests)]
