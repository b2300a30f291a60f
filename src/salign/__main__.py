"""Run the command `salign` by `python -m salign`, which is also how `torchrun -m salign` starts it."""

from salign.cli import main

if __name__ == "__main__":
    main()
