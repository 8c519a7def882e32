"""The `pinprick` command. Everything slow is imported after Ctrl-C has been taken care of."""

from __future__ import annotations

from pinprick.cli.interrupts import ending_at_once


def main() -> None:
    """Run the command line; errors go to stderr, exit codes as follows.

    0 done, 2 bad input, 3 failed units, or warnings of targets check --strict, 4 ended early, 130 Ctrl-C, 141 the
    reader of a pipe has gone.
    """
    with ending_at_once():
        import sys

        from pinprick.cli.app import app
        from pinprick.cli.console import results_to_stdout, say
        from pinprick.cli.memory import keep_freed_memory
        from pinprick.errors import EXIT_BAD_INPUT, PinprickError

        keep_freed_memory()
        try:
            with results_to_stdout():
                app()
        except MemoryError:
            say("error: memory: there is not enough of it. Give smaller images, fewer pixels or a smaller batch.")
            sys.exit(EXIT_BAD_INPUT)
        except PinprickError as error:
            for note in getattr(error, "__notes__", ()):
                say(note)
            say(f"error: {error}")
            sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
