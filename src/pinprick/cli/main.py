"""The `pinprick` command. Everything slow is imported after Ctrl-C has been taken care of."""

from __future__ import annotations

from pinprick.cli.interrupts import ending_at_once


def main() -> None:
    """Run the command line; errors go to stderr, exit codes are 0, 2 (bad input), 3 (failed units), 130 (Ctrl-C)."""
    with ending_at_once():
        import sys

        from pinprick.cli.app import app
        from pinprick.cli.console import say
        from pinprick.cli.memory import keep_freed_memory
        from pinprick.errors import PinprickError

        keep_freed_memory()
        try:
            app()
        except PinprickError as error:
            say(f"error: {error}")
            sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
