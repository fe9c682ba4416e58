"""Real processes: order, limit, failure, and a stop that leaves none behind."""

import os
import signal
import sys
import threading
import time

import pytest

from tedg_fast.evaluate.jobs import Job, run_jobs


def job(folder, name, *scripts):
    return Job(name, [[sys.executable, "-c", script] for script in scripts], folder / f"{name}.out")


def test_jobs_run_side_by_side_up_to_the_limit_and_commands_in_turn(tmp_path):
    nap = "import time; time.sleep(0.3)"
    running, most, ended = set(), [], []

    def begin(job):
        running.add(job.name)
        most.append(len(running))

    def end(job, code):
        running.remove(job.name)
        ended.append((job.name, code))

    jobs = [job(tmp_path, str(n), nap, f"print('second of {n}')") for n in range(5)]
    run_jobs(jobs, 2, begin, end)
    assert max(most) == 2
    assert sorted(ended) == [(str(n), 0) for n in range(5)]
    assert [each.last_words() for each in jobs] == [f"second of {n}" for n in range(5)]


def test_a_failure_ends_its_job_and_no_other(tmp_path):
    ended = []
    jobs = [
        job(tmp_path, "bad", "import sys; print('so what'); sys.exit(3)", "print('never')"),
        job(tmp_path, "good", "print('fine')"),
    ]
    run_jobs(jobs, 1, lambda job: None, lambda job, code: ended.append((job.name, code)))
    assert ended == [("bad", 3), ("good", 0)]
    assert jobs[0].last_words() == "so what"


def test_a_stop_lets_every_process_end_in_its_own_way(tmp_path):
    last_wish = (
        "import os, signal, sys, time\n"
        "def end(*_): print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    jobs = [job(tmp_path, str(n), last_wish) for n in range(3)]

    def interrupt():
        while not all(j.output.exists() and j.last_words() for j in jobs[:2]):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 2, lambda job: None, lambda job, code: None)
    for each in jobs[:2]:
        pid, word = each.output.read_text().split()
        assert word == "saved"
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert not jobs[2].output.exists()
