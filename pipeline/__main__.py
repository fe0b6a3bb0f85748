"""`python -m pipeline` and the `syncline` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line. Imported late: each process of a run imports this module again, and none needs the rest."""
    from pipeline.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
