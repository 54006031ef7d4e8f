"""The command `itl`: it loads the commands, and ends in one line if Ctrl-C comes before or after that."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default that of this process.

    Returns:
        The exit status: 0 done, 1 failed, with one line on stderr, 130 interrupted, 143 terminated, 129 where
        the terminal was closed. Wrong usage exits with 2.
    """
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the caller, as in `itl run demo 2>&-`
            setattr(sys, stream, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        from itl import commands  # here: to load them takes a moment, in which people may interrupt too

        return commands.main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as error:
        with suppress(OSError):  # of a terminal that is gone
            print("itl: stopped; finished work is kept, repeat the command to go on", file=sys.stderr)
        return 128 + (error.args[0] if error.args else signal.SIGINT)  # else `itl.processes.Terminated`


def script() -> int:
    """Run the command line of this process and return its exit status; the process then ends at once.

    Else Python takes apart all that was imported, for a fifth of the CPU time of a short command.
    """
    gc.set_threshold(50_000)  # by default 700 new objects: Python looks for garbage for a tenth of the time
    statuses: list[int] = []
    atexit.register(end_at_once, statuses)  # the first that is registered is the last that is called
    try:
        statuses.append(main())
    except KeyboardInterrupt:  # once more, while the first was reported
        statuses.append(128 + signal.SIGINT)
    if statuses[0] > 128:
        leave_no_process()
    return statuses[0]


def leave_no_process() -> None:
    """Kill worker processes that a second Ctrl-C kept from ending: Python would wait for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imported late: what it registers for the end has to come after `end_at_once`.
    from multiprocessing import active_children

    for process in active_children():
        process.kill()


def end_at_once(statuses: Sequence[int]) -> None:
    """End this process with the exit status in *statuses*, if there is one."""
    if statuses:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(statuses[0])


if __name__ == "__main__":
    sys.exit(script())
