"""Signals that end a command, where Dagster's own code must not be interrupted."""

from __future__ import annotations

import os
import signal

import pytest
from dagster._utils.interrupts import capture_interrupts, raise_interrupts_as

from sigma_impressions.interrupts import (
    Interrupted,
    end_if_interrupted,
    hangup_as_ctrl_c,
    interrupted_by,
    interruptible,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_comes_while_dagster_records_something_ends_the_next_step(number: signal.Signals) -> None:
    reached = []
    with interruptible():
        with capture_interrupts(), hangup_as_ctrl_c():
            os.kill(os.getpid(), number)
            reached.append("recorded")
            with pytest.raises(TimeoutError), raise_interrupts_as(TimeoutError):
                reached.append("the next step")
        assert interrupted_by() == number
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), number)
    assert reached == ["recorded"]


def test_a_second_one_does_not_break_off_the_end_that_the_first_one_has_begun() -> None:
    with interruptible():
        with capture_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            end_if_interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
