"""`python -m salign`, as `torchrun -m salign` starts it, is the command `salign`."""

from salign.cli import main

if __name__ == "__main__":
    main()
