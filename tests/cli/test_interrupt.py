"""Ctrl-C takes effect between epochs, and the second one at once."""

import os
import signal

import pytest

from reglab.cli.interrupt import interruptible


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_waits_for_the_next_check():
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as interruption:
        interruption.check()
        press()
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_takes_effect_at_once(capfd):
    with interruptible():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert "Ctrl-C again stops at once" in capfd.readouterr().err
