"""The process of the command `sigma-impressions`."""

from __future__ import annotations

import sys

from sigma_impressions.interrupts import end_soon, ignore_signals


def main() -> None:
    """Run the command; one that is interrupted before it can say so ends without a traceback too."""
    try:
        from sigma_impressions.cli import main as command

        command(prog_name="sigma-impressions")
    except SystemExit as end:
        # Of a signal, in the words of a shell.
        if isinstance(end.code, int) and end.code > 128:
            end_soon(end.code)
        raise
    except KeyboardInterrupt:
        # A terminal has written ^C into the line.
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(130)
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
